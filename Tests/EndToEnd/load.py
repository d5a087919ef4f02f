"""Constant load by clients of every kind that notice each failed request and each stream that is cut."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import json
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio
import httpx
import pycurl
import websockets
from conftest import Roost

ALL = (
    "http1", "http1", "fresh", "http2", "http2", "unary", "bidirectional", "events", "events2", "websocket",
)  # fmt: skip
"""Clients of servers; those of cells are `execute` and `execute2`."""


class Load:
    """Clients on a loop and on threads of their own, until they are told to stop.

    `web` and `calls` are the headers that name a node or an alias of HTTP servers, and one of servers of gRPC (`testapp.py`).
    `cell` is the path of an execute call whose cell takes `x` and answers `y` = `x` + 1.
    """

    def __init__(
        self, server: Roost, web: Mapping[str, str], calls: Mapping[str, str], *, cell: str = "", clients: tuple[str, ...] = ALL
    ) -> None:
        self.url = server.url
        self.port = server.port
        self.folder = server.folder
        common = {"authorization": f"Bearer {server.token}", "x-folder-id": self.folder}
        self.common = common
        self.web = {**common, **web}
        self.calls = tuple({**common, **calls}.items())
        self.cell = cell
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lives: list[float] = []
        """How long streams went on that the server ended."""
        self.ends: list[str] = []
        """Those streams: when, of what kind, and how long they went on."""
        self.socket_lives: list[float] = []
        """The same of WebSockets: they are asked to go as soon as their instance leaves, not when its time to drain is over."""
        self._stop = False
        if cell:
            clients += ("execute", "execute", "execute2")
        names = [name for name in clients if not asyncio.iscoroutinefunction(getattr(self, name))]
        kinds = [getattr(self, name) for name in clients if name not in names]
        self.kinds = len(set(clients))
        self._threads = [threading.Thread(target=self._keep, args=(getattr(self, name),)) for name in names]
        self._threads.append(threading.Thread(target=lambda: asyncio.run(self._run(kinds))))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    @property
    def at_work(self) -> bool:
        """Every kind of client has had an answer, or something went wrong."""
        return len(self.done) >= self.kinds or bool(self.wrong)

    @property
    def requests(self) -> int:
        return sum(self.done[name] for name in self.done if not name.endswith((" ended", " closed")))

    def _note(self, kind: str, error: BaseException) -> None:
        self.wrong.append(f"{time.strftime('%X')} {kind}: {error!r}")

    async def _run(self, kinds: list[Callable[[], Awaitable[None]]]) -> None:
        async def keep(kind: Callable[[], Awaitable[None]]) -> None:
            while not self._stop:
                try:
                    await kind()
                except Exception as error:  # noqa: BLE001
                    self._note(getattr(kind, "__name__", "?"), error)
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(keep(kind) for kind in kinds))

    def _keep(self, kind: Callable[[], None]) -> None:
        while not self._stop:
            try:
                kind()
            except Exception as error:  # noqa: BLE001
                self._note(kind.__name__, error)
                time.sleep(0.1)

    # HTTP/1.1

    async def _requests(self, session: httpx.AsyncClient, name: str, once: bool = False) -> None:
        body = os.urandom(20_000)
        while not self._stop:
            got = await session.get("/id", headers=self.web)
            assert got.status_code == 200, (got.status_code, got.text)
            if not once:
                got = await session.post("/echo", headers=self.web, content=body)
                assert got.status_code == 200 and got.content == body, (got.status_code, got.text[:300])
                self.done[name] += 1
            self.done[name] += 1
            await asyncio.sleep(0.005)
            if once:
                return

    async def http1(self) -> None:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=600)
        async with httpx.AsyncClient(base_url=self.url, timeout=30, limits=limits, trust_env=False) as session:
            await self._requests(session, "HTTP/1.1")

    async def fresh(self) -> None:
        """A connection for each request."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as session:
            await self._requests(session, "HTTP/1.1, a connection each", once=True)

    async def execute(self) -> None:
        """A cell, by connections that are kept."""
        limits = httpx.Limits(max_connections=1, keepalive_expiry=600)
        async with httpx.AsyncClient(base_url=self.url, timeout=30, limits=limits, trust_env=False) as session:
            number = 0
            while not self._stop:
                number += 1
                body = {"folder_id": self.folder, "input": {"x": number}}
                got = await session.post(self.cell, headers=self.common, json=body)
                assert got.status_code == 200 and got.json()["output"]["y"] == number + 1, (got.status_code, got.text)
                self.done["cell over HTTP/1.1"] += 1
                await asyncio.sleep(0.005)

    async def events(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as session:
            while not self._stop:
                began, number = time.monotonic(), 0
                # An answer that breaks off is an error of httpx: only a whole one comes to its end.
                async with session.stream("GET", "/stream?n=100000&ms=20", headers=self.web) as got:
                    assert got.status_code == 200, (got.status_code, await got.aread())
                    async for line in got.aiter_lines():
                        if line.startswith("data: "):
                            assert json.loads(line[6:]) == {"i": number}
                            number += 1
                            self.done["events"] += 1
                        if self._stop:
                            return
                self.ended("events", began)

    # HTTP/2, by libcurl: httpx ends streams that are open when the server says goodbye (GOAWAY), which they must survive.

    def _curl(self, headers: Mapping[str, str]) -> Any:
        session: Any = pycurl.Curl()
        session.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
        session.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        session.setopt(pycurl.NOPROXY, "*")
        session.setopt(pycurl.NOSIGNAL, 1)
        return session

    def _fetch(self, session: Any, path: str, body: bytes | None = None) -> bytes:
        got = io.BytesIO()
        session.setopt(pycurl.URL, self.url + path)
        session.setopt(pycurl.TIMEOUT, 30)
        session.setopt(pycurl.WRITEDATA, got)
        if body is None:
            session.setopt(pycurl.HTTPGET, 1)
        else:
            session.setopt(pycurl.POST, 1)
            session.setopt(pycurl.POSTFIELDSIZE, len(body))
            session.setopt(pycurl.READDATA, io.BytesIO(body))
        session.perform()
        status, version = session.getinfo(pycurl.RESPONSE_CODE), session.getinfo(pycurl.INFO_HTTP_VERSION)
        assert status == 200 and version == pycurl.CURL_HTTP_VERSION_2_0, (status, version, got.getvalue()[:300])
        return got.getvalue()

    def http2(self) -> None:
        session = self._curl({**self.web, "content-type": "application/octet-stream"})
        body = os.urandom(20_000)
        while not self._stop:
            self._fetch(session, "/id")
            assert self._fetch(session, "/echo", body) == body
            self.done["HTTP/2"] += 2
            time.sleep(0.005)
        session.close()

    def execute2(self) -> None:
        session = self._curl({**self.common, "content-type": "application/json"})
        number = 0
        while not self._stop:
            number += 1
            sent = json.dumps({"folder_id": self.folder, "input": {"x": number}}).encode()
            assert json.loads(self._fetch(session, self.cell, sent))["output"]["y"] == number + 1
            self.done["cell over HTTP/2"] += 1
            time.sleep(0.005)
        session.close()

    def events2(self) -> None:
        session = self._curl(self.web)
        session.setopt(pycurl.URL, self.url + "/stream?n=100000&ms=20")
        began, number = time.monotonic(), 0

        def part(data: bytes) -> int:
            nonlocal number
            number += data.count(b"data: ")
            self.done["events over HTTP/2"] += data.count(b"data: ")
            return 0 if self._stop else len(data)

        session.setopt(pycurl.WRITEFUNCTION, part)
        try:
            # A stream that is reset is an error of libcurl.
            session.perform()
            assert session.getinfo(pycurl.RESPONSE_CODE) == 200, session.getinfo(pycurl.RESPONSE_CODE)
            self.ended("events over HTTP/2", began)
        except pycurl.error as error:
            if error.args[0] != pycurl.E_WRITE_ERROR:
                raise
        finally:
            session.close()

    # gRPC

    async def unary(self) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call = channel.unary_unary("/test.Echo/Unary")
            while not self._stop:
                body = os.urandom(100)
                assert await call(body, metadata=self.calls, timeout=30) == body
                self.done["gRPC"] += 1
                await asyncio.sleep(0.005)

    def bidirectional(self) -> None:
        # Not by grpc.aio: where sending finds that the call has ended, that makes up a status of its own (INTERNAL).
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            open_stream = channel.stream_stream("/test.Echo/Bidi")
            while not self._stop:
                began = time.monotonic()
                turn: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
                sent = os.urandom(50)
                turn.put(sent)
                call = open_stream(iter(turn.get, None), metadata=self.calls)
                try:
                    for got in call:
                        assert got == sent
                        self.done["gRPC stream"] += 1
                        if self._stop:
                            call.cancel()
                            return
                        time.sleep(0.01)
                        sent = os.urandom(50)
                        turn.put(sent)
                    raise AssertionError("the stream ended without a status")
                except grpc.RpcError as error:
                    assert isinstance(error, grpc.Call)
                    details = error.details() or ""
                    clean = error.code() == grpc.StatusCode.UNAVAILABLE and "its time to drain is over" in details
                    assert clean, (error.code(), details)
                    self.ended("gRPC stream", began)
                finally:
                    turn.put(None)

    # WebSocket

    async def websocket(self) -> None:
        while not self._stop:
            began = time.monotonic()
            with contextlib.suppress(websockets.ConnectionClosedOK):
                async with websockets.connect(
                    f"ws://127.0.0.1:{self.port}/ws", additional_headers=self.web, ping_interval=None
                ) as socket:
                    while not self._stop:
                        body = os.urandom(50)
                        await socket.send(body)
                        assert await socket.recv() == body
                        self.done["WebSocket"] += 1
                        await asyncio.sleep(0.01)
            if not self._stop:
                assert (socket.close_code, socket.close_reason) == (1001, ""), socket.close_code
                self.done["WebSocket ended"] += 1
                self.socket_lives.append(time.monotonic() - began)

    def ended(self, name: str, began: float) -> None:
        self.done[f"{name} ended"] += 1
        life = time.monotonic() - began
        self.lives.append(life)
        self.ends.append(f"{datetime.datetime.now().time()} {name} after {life:.2f} s")


def evidence(server: Roost, nodes: list[str], load: Load) -> str:
    """What is known of requests that went wrong."""
    lines = [*load.wrong[:5]]
    for node in nodes:
        lines += [f"{one['time']} {one.get('instance')} {one['message']}" for one in server.logs(node)[-40:]]
    access = (server.data / "logs" / "access.jsonl").read_text().splitlines()
    lines += [line for line in access if '"status":5' in line][-5:]
    return "\n".join(lines)
