"""Rolling updates of image nodes under constant load: no request fails, streams end only cleanly and only after the drain limit.

`ROOST_ROLLING_RELEASES=20` makes the long form of it (five releases otherwise). One of the releases is broken, and during another one
the engine is restarted (its containers go on: live-restore).
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import SOCKET, Engine, containers, left_of
from load import Load, evidence

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

RELEASES = int(os.environ.get("ROOST_ROLLING_RELEASES") or 5)
COUNT = 4
DRAIN = 2.0


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


def test_releases_roll_out_and_back_without_a_failed_request(make_server: Callable[..., Roost], live_engine: Engine) -> None:
    server = make_server("--engine", SOCKET)
    roll_out = {"surge": 2}
    web = make(server, "web", rollOut=roll_out)
    calls = make(server, "calls", rollOut=roll_out, endpoint={"type": "grpc"})
    nodes = [web, calls]
    load = Load(server, {"x-node-id": web}, {"x-node-id": calls})
    wait_for("all clients are at work", lambda: load.at_work, 30)
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
    for kind in ("gRPC stream ended", "events ended", "events over HTTP/2 ended", "WebSocket ended"):
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
