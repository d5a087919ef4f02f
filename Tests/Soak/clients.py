"""The clients of the soak. Each does one thing with the server, checks what comes back, and says how it went."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import httpx
import websockets
from instances import SERVICE, answer_of, pattern

PATIENCE = 60.0
"""Seconds after which a client calls the server stuck: machines may be busy."""


class WrongError(Exception):
    """The server said something that is not so, or said nothing in time."""


class RefusedError(Exception):
    """A clear error: a status and a message that names the instance. Right only for who had a request at a killed one."""


@dataclass
class Tally:
    """What the interactions of one kind came to."""

    ok: int = 0
    left: int = 0
    """Ended by the client itself, on purpose."""
    refused: list[tuple[float, float, str]] = field(default_factory=list)
    """Begin, end and text of clear errors."""
    wrong: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


@dataclass
class Target:
    """Where requests go."""

    port: int
    token: Callable[[], str]
    folder: str
    node: str
    number: Callable[[], int]
    """A number that no other request has."""

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token()}", "x-node-id": self.node, "x-folder-id": self.folder}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def raw_head(self, method: str, path: str, more: str = "") -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"{method} {path} HTTP/1.1\r\nhost: soak\r\n{lines}{more}\r\n".encode()


MOST_LEFT = 4
"""Answers that may be left in the middle of one connection of HTTP/2."""

Interactions = AsyncGenerator[Callable[[], Awaitable[bool]], None]
Client = Callable[[Target], Interactions]
"""Gives interactions for as long as it is asked: each True when complete, False when the client left on purpose."""


def clear(status: int, headers: Any, body: bytes) -> RefusedError:
    """The error of an answer that is not 200; a `WrongError` when it does not explain itself."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        raise WrongError(f"HTTP {status} without a message: {body[:200]!r}") from None
    if status not in (502, 503) or headers.get("x-roost-fault") != "node" or "instance" not in message:
        raise WrongError(f"HTTP {status} {headers.get('x-roost-fault')}: {message}")
    return RefusedError(f"{status} {message}")


# MARK: HTTP


def over_http(http2: bool) -> Client:
    """Values, bodies both ways and large answers over kept connections of HTTP/1.1, or over one of HTTP/2."""

    async def client(target: Target) -> Interactions:
        limits = httpx.Limits(max_connections=20, keepalive_expiry=600)
        while True:
            async with httpx.AsyncClient(
                base_url=target.url,
                http1=not http2,
                http2=http2,
                timeout=PATIENCE,
                limits=limits,
                trust_env=False,
            ) as session:
                # httpx does not tell the server that it left an answer, and never gives back what that answer took of the
                # connection's window of 16 MiB (encode/httpcore#943): after some megabytes all answers would stand still.
                uses = Uses()
                while not http2 or uses.left < MOST_LEFT:
                    kind = random.choice([value, value, value, echo, large])
                    yield functools.partial(uses.count, kind, session, target)

    return client


class Uses:
    """What a connection was used for."""

    def __init__(self) -> None:
        self.left = 0

    async def count(
        self, kind: Callable[..., Awaitable[bool]], session: httpx.AsyncClient, target: Target
    ) -> bool:
        is_whole = False
        try:
            is_whole = await kind(session, target)
        finally:
            self.left += not is_whole
        return is_whole


@contextlib.asynccontextmanager
async def answered(
    session: httpx.AsyncClient, method: str, path: str, target: Target, content: Any = None
) -> Any:
    """An answer of status 200 whose body is still to be read; what breaks off then is a clear error."""
    begun = False
    try:
        async with session.stream(method, path, headers=target.headers, content=content) as got:
            begun = True
            if got.status_code != 200:
                raise clear(got.status_code, got.headers, await got.aread())
            yield got
    except httpx.TransportError as error:
        if "error_code:8," in str(error):
            raise WrongError(f"the server cancelled the stream as if the client were slow: {error!r}") from None
        # httpx looks at the answer once all is sent: one that had begun may be broken off before.
        if begun or content is not None:
            raise RefusedError(f"broke off: {error!r}") from None
        raise


async def value(session: httpx.AsyncClient, target: Target) -> bool:
    number = target.number()
    async with answered(session, "GET", f"/value/{number}", target) as got:
        body = json.loads(await got.aread())
    if body != {"value": answer_of(number)}:
        raise WrongError(f"value of {number}: {body}")
    return True


async def echo(session: httpx.AsyncClient, target: Target) -> bool:
    body = pattern(target.number(), random.choice([0, 10, 5000, 200_000]))

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 30_000):
            yield body[at : at + 30_000]

    sent = parts() if random.random() < 0.5 else body
    async with answered(session, "POST", "/echo", target, sent) as got:
        if await got.aread() != body:
            raise WrongError(f"an echo of {len(body)} bytes is not what was sent")
    return True


async def large(session: httpx.AsyncClient, target: Target) -> bool:
    number, size = target.number(), random.choice([100_000, 1_000_000])
    leaves = random.random() < 0.2
    wanted = pattern(number, size)
    at = 0
    async with answered(session, "GET", f"/bytes/{number}/{size}", target) as got:
        async for part in got.aiter_raw():
            if wanted[at : at + len(part)] != part:
                raise WrongError(f"{size} bytes of {number}: other bytes at {at}")
            at += len(part)
            if leaves:
                return False
    if at != size:
        raise WrongError(f"{size} bytes of {number}: only {at} came, and no error")
    return True


async def events(target: Target) -> Interactions:
    """Server-sent events, every third stream left in the middle."""
    async with httpx.AsyncClient(base_url=target.url, timeout=PATIENCE, trust_env=False) as session:

        async def stream() -> bool:
            number, count = target.number(), random.randint(5, 30)
            leaves = count // 2 if random.random() < 0.3 else None
            seen = 0
            ended = False
            async with answered(session, "GET", f"/events/{number}/{count}", target) as got:
                async for line in got.aiter_lines():
                    if line == "event: end":
                        ended = True
                    elif line.startswith("data: ") and not ended:
                        if line != f"data: {answer_of(number + seen)}":
                            raise WrongError(f"event {seen} of {number}: {line}")
                        seen += 1
                        if seen == leaves:
                            return False
            if not ended or seen != count:
                raise WrongError(f"events of {number}: {seen} of {count} came, and no error")
            return True

        while True:
            yield stream


async def execute(target: Target) -> Interactions:
    """Runs the cell."""
    async with httpx.AsyncClient(base_url=target.url, timeout=PATIENCE, trust_env=False) as session:

        async def run() -> bool:
            number = target.number()
            got = await session.post(
                f"/datasphere/v1/nodes/{target.node}:execute",
                json={"folder_id": target.folder, "input": {"x": number}},
                headers={"authorization": f"Bearer {target.token()}"},
            )
            if got.status_code != 200:
                raise clear(got.status_code, got.headers, got.content)
            if got.json().get("output") != {"y": number * 3 + 1}:
                raise WrongError(f"the cell made {got.text[:200]} of {number}")
            return True

        while True:
            yield run


# MARK: WebSocket and gRPC


async def talk(target: Target) -> Interactions:
    """WebSockets that are closed, or cut without a word."""

    async def dialogue() -> bool:
        url = f"ws://127.0.0.1:{target.port}/socket"
        leaves = random.random() < 0.3
        try:
            connection = await websockets.connect(
                url,
                additional_headers=target.headers,
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
                proxy=None,
            )
        except websockets.InvalidStatus as error:
            raise clear(
                error.response.status_code, error.response.headers, bytes(error.response.body)
            ) from None
        try:
            for _ in range(random.randint(1, 20)):
                text = f"{target.number()} " + "x" * random.choice([0, 100, 70_000])
                await connection.send(text)
                got = await asyncio.wait_for(connection.recv(), PATIENCE)
                if got != f"{answer_of(int(text.partition(' ')[0]))} {text}":
                    raise WrongError(f"a message came back as {str(got)[:100]}")
            if leaves:
                connection.transport.abort()
                return False
        except websockets.ConnectionClosed as error:
            raise RefusedError(f"the WebSocket broke off: {error!r}") from None
        finally:
            await connection.close()
        if connection.close_code != 1000:
            raise RefusedError(f"the WebSocket ended with {connection.close_code}")
        return True

    while True:
        yield dialogue


async def calls(target: Target) -> Interactions:
    """All shapes of gRPC calls, some of them cancelled."""
    options = [("grpc.max_receive_message_length", 16 << 20), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{target.port}", options=options) as channel:
        say = channel.unary_unary(f"/{SERVICE}/Say")
        count = channel.unary_stream(f"/{SERVICE}/Count")
        chat = channel.stream_stream(f"/{SERVICE}/Chat")

        async def unary() -> None:
            body = pattern(target.number(), random.choice([0, 13, 13, 13, 100_000]))
            if await say(body, metadata=metadata(target), timeout=PATIENCE) != body[::-1]:
                raise WrongError("an answer of Say is not of its request")

        async def counting() -> bool:
            number, times = target.number(), random.randint(1, 200)
            call = count(b"%d %d" % (number, times), metadata=metadata(target), timeout=PATIENCE)
            leaves = times // 2 if random.random() < 0.2 else None
            seen = 0
            async for got in call:
                if got != b"%d" % answer_of(number + seen):
                    raise WrongError(f"message {seen} of {number}: {got!r}")
                seen += 1
                if seen == leaves:
                    call.cancel()
                    return False
            if seen != times:
                raise WrongError(f"{seen} messages of {times} came, and no error")
            return True

        async def chatting() -> None:
            call = chat(metadata=metadata(target), timeout=PATIENCE)
            for _ in range(random.randint(1, 10)):
                body = pattern(target.number(), 50)
                await call.write(body)
                if await call.read() != body[::-1]:
                    await call.done_writing()
                    if await call.code() is not grpc.StatusCode.OK:
                        raise failed(await call.code(), await call.details())
                    raise WrongError("an answer of Chat is not of its request")
            await call.done_writing()
            if await call.read() is not grpc.aio.EOF:
                raise WrongError("Chat said more than it was asked")

        async def one() -> bool:
            try:
                kind = random.random()
                if kind < 0.3:
                    return await counting()
                await (unary() if kind < 0.8 else chatting())
                return True
            except grpc.aio.AioRpcError as error:
                raise failed(error.code(), error.details()) from None

        while True:
            yield one


def metadata(target: Target) -> list[tuple[str, str]]:
    return list(target.headers.items())


def failed(code: Any, details: str | None) -> Exception:
    """The error of a call: a status that names the instance, or a write to a call that had just ended."""
    text = f"{code}: {details}"
    names = code is grpc.StatusCode.UNAVAILABLE and "instance" in (details or "")
    # grpcio puts this in place of the status when its own write fails because the call is over.
    return RefusedError(text) if names or details == "Internal error from Core" else WrongError(text)


# MARK: Bad manners


async def resets(target: Target) -> Interactions:
    """Breaks its connection with a reset at every possible point of a request."""
    loop = asyncio.get_running_loop()

    async def broken() -> bool:
        number = target.number()
        full = target.raw_head("GET", f"/bytes/{number}/3000000")
        body = target.raw_head("POST", "/echo", "content-length: 100000\r\n") + pattern(number, 100_000)
        sent = random.choice(
            [full[: random.randint(0, len(full) - 1)], full, body[: random.randint(1, len(body) - 1)], body]
        )
        with socket.socket() as raw:
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", target.port))
            await loop.sock_sendall(raw, sent)
            for _ in range(random.randint(0, 3) if sent in (full, body) else 0):
                part = await asyncio.wait_for(loop.sock_recv(raw, 10_000), PATIENCE)
                if len(part) < 10_000:
                    break  # an error of a killed instance is all there is
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    while True:
        yield broken


async def slow(target: Target) -> Interactions:
    """Sends in small pieces with pauses, and reads a large answer slowly: the gateway must wait, and keep little of it."""
    loop = asyncio.get_running_loop()

    async def crawl() -> bool:
        number, size = target.number(), 400_000
        head = target.raw_head("GET", f"/bytes/{number}/{size}", "connection: close\r\n")
        with socket.socket() as raw:
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            await loop.sock_connect(raw, ("127.0.0.1", target.port))
            for at in range(0, len(head), 60):
                await loop.sock_sendall(raw, head[at : at + 60])
                await asyncio.sleep(0.02)
            got = bytearray()
            while part := await asyncio.wait_for(loop.sock_recv(raw, 8192), PATIENCE):
                got += part
                await asyncio.sleep(0.01)
        answer, _, body = bytes(got).partition(b"\r\n\r\n")
        status = int(answer.split()[1]) if answer else 0
        if status != 200:
            lines = (line.decode().partition(": ") for line in answer.split(b"\r\n")[1:])
            raise clear(status, {name.lower(): value for name, _, value in lines}, body)
        wanted = pattern(number, size)
        if len(body) < size and wanted.startswith(body):
            raise RefusedError(f"broke off after {len(body)} of {size} bytes")
        if body != wanted:
            raise WrongError(f"the slow answer of {number} has other bytes")
        return True

    while True:
        yield crawl


CLIENTS: dict[str, tuple[str, Client, int, float]] = {
    "HTTP/1.1": ("web", over_http(False), 6, 0.01),
    "HTTP/2": ("web", over_http(True), 4, 0.02),
    "events": ("web", events, 4, 0.05),
    "WebSocket": ("web", talk, 3, 0.05),
    "gRPC": ("grpc", calls, 4, 0.02),
    "execute": ("cell", execute, 4, 0.02),
    "resets": ("web", resets, 2, 0.05),
    "slow": ("web", slow, 3, 0.05),
}
"""Kind: which node, the client, how many at once, seconds between two interactions."""


async def repeat(client: Client, target: Target, pause: float, tally: Tally, running: asyncio.Event) -> None:
    """Interactions one after the other until `running` is cleared."""
    # Closed here and not by the collector of garbage: a channel of grpcio that it finds late keeps its connection open.
    async with contextlib.aclosing(client(target)) as interactions:
        async for interaction in interactions:
            if not running.is_set():
                return
            await once(interaction, tally)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))


async def once(interaction: Callable[[], Awaitable[bool]], tally: Tally) -> None:
    """One interaction, and what came of it."""
    began = time.monotonic()
    try:
        if await asyncio.wait_for(interaction(), 3 * PATIENCE):
            tally.ok += 1
            tally.times.append(time.monotonic() - began)
        else:
            tally.left += 1
    except RefusedError as error:
        tally.refused.append((began, time.monotonic(), str(error)))
    except Exception as error:
        tally.wrong.append(
            f"{type(error).__name__}: {error}" if not isinstance(error, WrongError) else str(error)
        )
        await asyncio.sleep(0.2)


def texts(tally: Tally) -> list[tuple[str, int]]:
    """The wrong things, each once with its count."""
    return Counter(tally.wrong).most_common(5)
