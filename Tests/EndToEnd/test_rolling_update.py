"""Rolling updates of image nodes under constant load: no request fails, streams end only cleanly and only after the drain limit.

`ROOST_ROLLING_RELEASES=20` makes the long form of it (five releases otherwise). One of the releases is broken, and during another one
the engine is restarted (its containers go on: live-restore).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import engine
import grpc
import grpc.aio
import httpx
import pytest
import websockets
from conftest import Roost, wait_for
from engine import SOCKET, Engine, containers, left_of

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

RELEASES = int(os.environ.get("ROOST_ROLLING_RELEASES") or 5)
COUNT = 4
DRAIN = 2.0


class Load:
    """Clients of every kind, on a loop in a thread of its own, until they are told to stop."""

    def __init__(self, server: Roost, web: str, calls: str) -> None:
        self.url = server.url
        self.port = server.port
        self.web = {"authorization": f"Bearer {server.token}", "x-node-id": web, "x-folder-id": server.folder}
        self.calls = tuple({**self.web, "x-node-id": calls}.items())
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lives: list[float] = []
        """How long streams went on that the server ended."""
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    def end(self) -> None:
        self._stop = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        kinds = [self.http1, self.http1, self.http2, self.unary, self.bidirectional, self.events, self.events2, self.websocket]
        await asyncio.gather(*(self._keep(kind) for kind in kinds))

    async def _keep(self, kind: Callable[[], Awaitable[None]]) -> None:
        while not self._stop:
            try:
                await kind()
            except Exception as error:  # noqa: BLE001
                self.wrong.append(f"{time.strftime('%X')} {kind.__name__}: {error!r}")
                await asyncio.sleep(0.1)

    async def requests(self, session: httpx.AsyncClient, name: str) -> None:
        body = os.urandom(20_000)
        while not self._stop:
            got = await session.get("/id", headers=self.web)
            assert got.status_code == 200, (got.status_code, got.text)
            got = await session.post("/echo", headers=self.web, content=body)
            assert got.status_code == 200 and got.content == body, (got.status_code, got.text[:300])
            self.done[name] += 2
            await asyncio.sleep(0.005)

    async def http1(self) -> None:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=600)
        async with httpx.AsyncClient(base_url=self.url, timeout=30, limits=limits, trust_env=False) as session:
            await self.requests(session, "HTTP/1.1")

    async def http2(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, http1=False, http2=True, timeout=30, trust_env=False) as session:
            await self.requests(session, "HTTP/2")

    async def unary(self) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call = channel.unary_unary("/test.Echo/Unary")
            while not self._stop:
                body = os.urandom(100)
                assert await call(body, metadata=self.calls, timeout=30) == body
                self.done["gRPC"] += 1
                await asyncio.sleep(0.005)

    async def bidirectional(self) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            while not self._stop:
                began = time.monotonic()
                turn: asyncio.Queue[bytes] = asyncio.Queue()

                # Not by `write`: what that finds of an ended call is not the status that the server sent.
                async def messages(turn: asyncio.Queue[bytes] = turn) -> AsyncIterator[bytes]:
                    while True:
                        yield await turn.get()

                call = channel.stream_stream("/test.Echo/Bidi")(messages(), metadata=self.calls)
                sent = os.urandom(50)
                turn.put_nowait(sent)
                try:
                    async for got in call:
                        assert got == sent
                        self.done["gRPC stream"] += 1
                        if self._stop:
                            call.cancel()
                            return
                        await asyncio.sleep(0.01)
                        sent = os.urandom(50)
                        turn.put_nowait(sent)
                    raise AssertionError("the stream ended without a status")
                except grpc.aio.AioRpcError as error:
                    clean = error.code() == grpc.StatusCode.UNAVAILABLE and "its time to drain is over" in str(error.details())
                    assert clean, error
                    self.ended("gRPC stream", began)

    async def server_events(self, session: httpx.AsyncClient, name: str) -> None:
        while not self._stop:
            began, number = time.monotonic(), 0
            # An answer that breaks off is an error of httpx: only a whole one comes to its end.
            async with session.stream("GET", "/stream?n=100000&ms=20", headers=self.web) as got:
                assert got.status_code == 200
                async for line in got.aiter_lines():
                    if line.startswith("data: "):
                        assert json.loads(line[6:]) == {"i": number}
                        number += 1
                        self.done[name] += 1
                    if self._stop:
                        return
            self.ended(name, began)

    async def events(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as session:
            await self.server_events(session, "events")

    async def events2(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, http1=False, http2=True, timeout=30, trust_env=False) as session:
            await self.server_events(session, "events over HTTP/2")

    async def websocket(self) -> None:
        while not self._stop:
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
                self.done["WebSocket closed"] += 1

    def ended(self, name: str, began: float) -> None:
        self.done[f"{name} ended"] += 1
        self.lives.append(time.monotonic() - began)


@pytest.fixture
def live_engine() -> Iterator[Engine]:
    """The engine, started anew such that its containers outlive it."""
    process = Engine()
    if not process.pid:
        pytest.skip("the engine was not started by scripts/with-engine: it can't be restarted")
    usual = process.arguments
    process.end()
    process.arguments = [*usual, "--live-restore"]
    process.start()
    yield process
    process.end()
    process.arguments = usual
    process.start()


def make(server: Roost, name: str, **more: Any) -> str:
    check = {"type": "http", "path": "/health", "timeoutSeconds": 5, "intervalSeconds": 1, "failsThreshold": 3, "passesThreshold": 1}
    image = {"reference": "testapp:1", "port": 8080, "drainSeconds": DRAIN, "stopSeconds": 3, "environment": {"APP_RELEASE": "1"}}
    body = {
        "name": name, "kind": "image", "image": image, "memoryBytes": 128 << 20, "cpus": 1, "healthCheck": check,
        "instances": {"count": COUNT}, **more,
    }  # fmt: skip
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    assert "error" not in server.finished(answer.json["id"], 180)
    return str(answer.json["resourceId"])


def update(server: Roost, node: str, environment: dict[str, str]) -> str:
    answer = server.call("PATCH", f"/v1/nodes/{node}?update_mask=image", {"image": {"environment": environment}})
    assert answer.status == 202, answer
    return str(answer.json["id"])


def evidence(server: Roost, nodes: list[str], load: Load) -> str:
    """What is known of requests that went wrong."""
    lines = [*load.wrong[:5]]
    for node in nodes:
        lines += [f"{one['time']} {one.get('instance')} {one['message']}" for one in server.logs(node)[-40:]]
    access = (server.data / "logs" / "access.jsonl").read_text().splitlines()
    lines += [line for line in access if '"status":5' in line][-5:]
    return "\n".join(lines)


def test_releases_roll_out_and_back_without_a_failed_request(make_server: Callable[..., Roost], live_engine: Engine) -> None:
    server = make_server("--engine", SOCKET)
    roll_out = {"surge": 2}
    web = make(server, "web", rollOut=roll_out)
    calls = make(server, "calls", rollOut=roll_out, endpoint={"type": "grpc"})
    nodes = [web, calls]
    load = Load(server, web, calls)
    wait_for("all clients are at work", lambda: len(load.done) >= 7 or load.wrong, 30)
    broken, restarted = RELEASES // 2 + 1, RELEASES // 2 + 2
    serving = 1
    try:
        for release in range(2, RELEASES + 2):
            environment = {"APP_RELEASE": str(release)}
            before = {node: {i["id"] for i in server.instances(node)} for node in nodes}
            if release == broken:
                environment["FAIL_START"] = "7"
            operations = [update(server, node, environment) for node in nodes]
            if release == restarted:
                wait_for("a container of the new release", lambda number=release: any(i["release"] == number for i in server.instances(web)))
                live_engine.end(signal.SIGTERM)
                live_engine.start()
            ended = [server.finished(operation, 240) for operation in operations]
            assert not load.wrong, evidence(server, nodes, load)
            for node, operation in zip(nodes, ended):
                found = server.healthy(node, COUNT)
                if release == broken:
                    said = operation["error"]["message"]
                    assert said.startswith(f"release {release} failed; release {serving} serves: it failed 3 times"), said
                    assert "cannot start: FAIL_START is set" in said
                    assert {i["id"] for i in found} == before[node], "the former release is not touched"
                else:
                    assert "error" not in operation, operation
                    assert {i["release"] for i in found} == {release} and not {i["id"] for i in found} & before[node]
            serving = serving if release == broken else release
        for node in nodes:
            server.cli("node", "rollback", node, "--wait")
            assert {i["release"] for i in server.healthy(node, COUNT)} == {serving - 1 if serving - 1 != broken else serving - 2}
    finally:
        load.end()
    print(dict(load.done), "shortest stream", min(load.lives))
    assert not load.wrong, evidence(server, nodes, load)
    for kind in ("gRPC stream ended", "events ended", "events over HTTP/2 ended", "WebSocket closed"):
        assert load.done[kind] >= 1, load.done
    assert min(load.lives) >= DRAIN * 0.95
    for node in nodes:
        server.call("DELETE", f"/v1/nodes/{node}")
        wait_for("nothing is left", lambda gone=node: left_of(gone) == [], 60)


KILLED_WHEN: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "the first container of the new release is there": lambda found: any(i["release"] == 2 for i in found),
    "both releases serve": lambda found: {i["release"] for i in found if i["status"] == "HEALTHY"} == {1, 2},
    "an old instance leaves": lambda found: any(i["release"] == 1 and i["status"] == "DELETING" for i in found),
}


@pytest.mark.parametrize("moment", KILLED_WHEN, ids=lambda moment: moment.replace(" ", "-"))
def test_roost_killed_in_the_middle_of_a_roll_out_goes_on_with_it(
    make_server: Callable[..., Roost], moment: str
) -> None:
    server = make_server("--engine", SOCKET)
    node = make(server, "web", rollOut={"surge": 1})
    first = {i["id"] for i in server.healthy(node, COUNT)}
    operation = update(server, node, {"APP_RELEASE": "2"})
    wait_for(moment, lambda: KILLED_WHEN[moment](server.instances(node)), 60)
    server.kill()
    server.start()
    headers = {"x-node-id": node, "x-folder-id": server.folder}
    # What was healthy serves from the first moment on, and at no time are there fewer.
    answers: Counter[str] = Counter()

    def rolled_out() -> bool:
        answer = server.call("GET", "/id", headers=headers)
        assert answer.status == 200, answer
        answers[answer.json["env"]["APP_RELEASE"]] += 1
        return bool(server.call("GET", f"/v1/operations/{operation}").json["done"])

    wait_for("the roll-out ends", rolled_out, 180)
    assert "error" not in server.finished(operation)
    found = server.healthy(node, COUNT)
    assert {i["release"] for i in found} == {2} and not {i["id"] for i in found} & first
    assert set(answers) <= {"1", "2"}
    wait_for("only what is wanted is left", lambda: len(containers(node)) == COUNT)
    assert {c["Names"][0] for c in containers(node)} == {f"/roost-{i['id']}" for i in found}
    server.cli("node", "delete", "web", "--yes", "--wait")
    assert left_of(node) == []
