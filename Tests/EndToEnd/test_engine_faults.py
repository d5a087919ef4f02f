"""Image nodes when roost, its engine, its registry or somebody else does the worst at the worst moment: the truth is told meanwhile, and it heals by itself."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import engine
import pytest
from conftest import Answer, Roost, wait_for
from engine import PASSWORD, REGISTRY, SOCKET, Engine, containers, inspect, left_of
from gate import EngineGate, Forwarder, gate_before

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)
OURS = bool(SOCKET) and bool(os.environ.get("ROOST_TEST_ENGINE_PID"))

QUICK = {"type": "http", "path": "/health", "timeoutSeconds": 2, "intervalSeconds": 0.2, "failsThreshold": 2, "passesThreshold": 1}


def begin(server: Roost, name: str, image: dict[str, Any] | None = None, **more: Any) -> tuple[str, str]:
    """The node and its operation."""
    asked = {"reference": "testapp:1", "port": 8080, **(image or {})}
    body = {"name": name, "kind": "image", "image": asked, "memoryBytes": 256 << 20, "cpus": 1, "healthCheck": QUICK, **more}
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    return str(answer.json["resourceId"]), str(answer.json["id"])


def make(server: Roost, name: str, count: int = 1, **more: Any) -> str:
    node, operation = begin(server, name, instances={"count": count, "min": count, "max": count}, **more)
    done = server.finished(operation, 120)
    assert "error" not in done, done
    return node


def get(server: Roost, node: str, path: str) -> Answer:
    return server.call("GET", path, headers={"x-node-id": node, "x-folder-id": server.folder})


def condition(server: Roost, node: str, name: str) -> dict[str, Any]:
    return dict(next(c for c in server.status(node)["conditions"] if c["type"] == name))


def is_gone(server: Roost, node: str) -> bool:
    return server.call("GET", f"/v1/nodes/{node}").status == 404 and left_of(node) == []


@pytest.fixture
def gate(tmp_path: pathlib.Path) -> Iterator[EngineGate]:
    # A path of a unix socket has little room.
    with tempfile.TemporaryDirectory(prefix="roost-gate-") as folder, gate_before(SOCKET, pathlib.Path(folder)) as gate:
        yield gate


@pytest.fixture
def gated(gate: EngineGate, make_server: Callable[..., Roost]) -> Roost:
    return make_server("--engine", str(gate.path))


@pytest.fixture
def registry(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forwarder]:
    """The registry behind a port that can close; roost knows its password."""
    forwarder = Forwarder(REGISTRY)
    auth = base64.b64encode(f"json_key:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {forwarder.address: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    drop_images()
    yield forwarder
    forwarder.down()
    drop_images()


def drop_images() -> None:
    """Removes what came from a registry."""
    for image in engine.ask("GET", "/images/json"):
        if any(digest.startswith("127.0.0.1:") for digest in image["RepoDigests"] or []):
            engine.ask("DELETE", f"/images/{image['Id']}?force=1")


# MARK: kill -9 of roost


ARRIVING = {
    "making the network": "POST /networks/create",
    "creating": "POST /containers/create",
    "starting": "POST /containers/[^/]+/start",
    "looking at the new container": "GET /containers/roost-[^/]+/json",
}


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("phase", ARRIVING)
def test_roost_killed_while_instances_arrive_makes_exactly_those_that_are_wanted(
    gated: Roost, gate: EngineGate, phase: str, answered: bool
) -> None:
    gate.hold(ARRIVING[phase], answered=answered)
    node, operation = begin(gated, "arriving", instances={"count": 2, "min": 2, "max": 2})
    wait_for(f"roost is {phase}", lambda: gate.held)
    status = gated.status(node)
    assert status["status"] in ("CREATED", "PREPARING") and status["healthyInstances"] == 0, status
    gated.kill()
    gate.open()
    gated.start()
    done = gated.finished(operation, 120)
    assert "error" not in done, done
    found = gated.healthy(node, 2)
    wait_for("two containers", lambda: len(containers(node)) == 2)
    assert {c["Names"][0] for c in containers(node)} == {f"/roost-{i['id']}" for i in found}
    assert get(gated, node, "/id").status == 200
    gated.cli("node", "delete", "arriving", "--yes", "--wait")
    assert left_of(node) == []


def test_roost_killed_while_an_image_is_pulled_pulls_it_again(
    gate: EngineGate, registry: Forwarder, make_server: Callable[..., Roost]
) -> None:
    server = make_server("--engine", str(gate.path))
    gate.hold("POST /images/create", answered=False)
    node, operation = begin(server, "pulling", {"reference": f"{registry.address}/team/testapp:1"})
    wait_for("roost pulls", lambda: gate.held)
    image = condition(server, node, "Image")
    assert (image["status"], image["reason"]) == (False, "Getting"), image
    server.kill()
    gate.open()
    server.start()
    done = server.finished(operation, 120)
    assert "error" not in done, done
    assert "@sha256:" in inspect(server.healthy(node, 1)[0]["id"])["Config"]["Image"]


LEAVING = {
    "stopping": "POST /containers/[^/]+/stop",
    "removing": "DELETE /containers/[^/]+",
    "removing the network": "DELETE /networks/[^/]+",
}


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("phase", LEAVING)
def test_roost_killed_while_a_node_is_deleted_deletes_it(gated: Roost, gate: EngineGate, phase: str, answered: bool) -> None:
    node = make(gated, "leaving", 2)
    gate.hold(LEAVING[phase], answered=answered)
    answer = gated.call("DELETE", f"/v1/nodes/{node}")
    assert answer.status == 202, answer
    wait_for(f"roost is {phase}", lambda: gate.held)
    assert gated.status(node)["status"] == "DELETING"
    assert get(gated, node, "/id").status == 404 or b"is being deleted" in get(gated, node, "/id").body
    gated.kill()
    gate.open()
    gated.start()
    wait_for("nothing is left", lambda: is_gone(gated, node))
    assert gated.finished(answer.json["id"])["done"]


def test_roost_killed_while_it_drains_goes_on_draining(gated: Roost) -> None:
    node = make(gated, "draining", image={"drainSeconds": 60})
    address = gated.instances(node)[0]["address"]
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(get(gated, node, "/slow?s=20")))
    slow.start()

    def running() -> bool:
        direct = http.client.HTTPConnection(address)
        direct.request("GET", "/metrics")
        return b"app_inflight 2" in direct.getresponse().read()

    wait_for("the slow request runs", running)
    answer = gated.call("POST", f"/v1/nodes/{node}:suspend")
    wait_for("it drains", lambda: gated.instances(node)[0]["status"] == "DELETING")
    gated.kill()
    slow.join(60)
    assert answers[0].status == 0, "its connection ended with roost"
    gated.start()
    gated.finished(answer.json["id"])
    assert containers(node) == []
    assert gated.status(node)["status"] == "SUSPENDED"


# MARK: the engine


@pytest.mark.skipif(bool(SOCKET) and not OURS, reason="the engine is not ours to end")
@pytest.mark.parametrize("phase", ["creating", "starting"])
def test_an_engine_killed_while_instances_arrive_is_told_and_waited_for(gated: Roost, gate: EngineGate, phase: str) -> None:
    gate.hold(ARRIVING[phase], answered=False)
    node, operation = begin(gated, "interrupted", instances={"count": 2, "min": 2, "max": 2})
    wait_for(f"roost is {phase}", lambda: gate.held)
    process = Engine()
    process.end(signal.SIGKILL)
    gate.open()
    try:
        wait_for("the dead engine is told", lambda: not condition(gated, node, "Engine")["status"])
        told = condition(gated, node, "Engine")
        assert told["reason"] == "Unreachable" and "none can be started or stopped" in told["message"], told
        assert gated.status(node)["healthyInstances"] == 0
    finally:
        process.start()
    gated.healthy(node, 2)
    wait_for("two containers", lambda: len(containers(node)) == 2)
    assert gated.finished(operation, 120)["done"]
    gated.cli("node", "delete", "interrupted", "--yes", "--wait")
    assert left_of(node) == []


@pytest.mark.skipif(bool(SOCKET) and not OURS, reason="the engine is not ours to end")
def test_an_engine_killed_while_a_node_is_deleted_is_waited_for(gated: Roost, gate: EngineGate) -> None:
    node = make(gated, "leaving", 2)
    gate.hold("POST /containers/[^/]+/stop", answered=False)
    answer = gated.call("DELETE", f"/v1/nodes/{node}")
    wait_for("roost stops them", lambda: gate.held)
    process = Engine()
    process.end(signal.SIGKILL)
    gate.open()
    wait_for("the dead engine is told", lambda: not condition(gated, node, "Engine")["status"])
    assert gated.status(node)["status"] == "DELETING"
    process.start()
    wait_for("nothing is left", lambda: is_gone(gated, node))
    assert gated.finished(answer.json["id"])["done"]


@pytest.mark.skipif(bool(SOCKET) and not OURS, reason="the engine is not ours to stop")
def test_a_node_made_while_the_engine_hangs_comes_up_when_it_goes_on(make_server: Callable[..., Roost]) -> None:
    server = make_server("--engine", SOCKET)
    process = Engine()
    process.send(signal.SIGSTOP)
    try:
        node, operation = begin(server, "patient")
        wait_for("the hanging engine is told", lambda: not condition(server, node, "Engine")["status"])
        assert server.status(node)["status"] != "HEALTHY"
        assert server.call("GET", "/healthz", token="").status in (200, 404), "roost itself answers"
    finally:
        process.send(signal.SIGCONT)
    server.healthy(node, 1)
    assert condition(server, node, "Engine")["status"]
    assert get(server, node, "/id").status == 200
    # It may have ended with what the engine said meanwhile, or with success; it has ended.
    server.finished(operation, 120)


def test_roost_starts_without_its_engine_and_finds_it_when_it_comes(make_server: Callable[..., Roost]) -> None:
    with tempfile.TemporaryDirectory(prefix="roost-gate-") as folder:
        path = pathlib.Path(folder) / "engine.sock"
        server = make_server("--engine", str(path))
        node, operation = begin(server, "orphan")
        wait_for("it is told", lambda: not condition(server, node, "Engine")["status"])
        error = wait_for("the error is told", lambda: server.status(node).get("lastError"))
        assert str(path) in error["message"], error
        with gate_before(SOCKET, pathlib.Path(folder)):
            server.healthy(node, 1)
            assert condition(server, node, "Engine")["status"]
            server.finished(operation, 120)
            assert get(server, node, "/id").status == 200
            server.cli("node", "delete", "orphan", "--yes", "--wait")
            assert left_of(node) == []


# MARK: behind our back


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    server = Roost(tmp_path_factory.mktemp("faults") / "data", "--engine", SOCKET).start()
    yield server
    server.close()


def test_a_container_that_somebody_stops_is_replaced_and_it_is_told(server: Roost) -> None:
    node = make(server, "stopped", 2)
    victim = server.instances(node)[0]["id"]
    engine.ask("POST", f"/containers/roost-{victim}/stop?t=5")
    wait_for("it is seen", lambda: server.status(node)["restarts"] == 1)
    error = server.status(node)["lastError"]
    assert victim in error["message"] and "ended" in error["message"], error
    assert victim not in {i["id"] for i in server.healthy(node, 2)}
    wait_for("two containers", lambda: len(containers(node)) == 2)


def test_a_paused_container_leaves_rotation_and_comes_back(server: Roost) -> None:
    node = make(server, "paused", 2)
    victim = server.instances(node)[0]["id"]
    engine.ask("POST", f"/containers/roost-{victim}/pause")
    paused = wait_for("it is seen", lambda: next((i for i in server.instances(node) if i["status"] == "UNHEALTHY"), None))
    assert paused["id"] == victim and "no answer in 2 s" in paused["lastError"]["message"], paused
    assert {get(server, node, "/id").json["host"] for _ in range(10)}.isdisjoint({victim}), "it gets no requests"
    ready = condition(server, node, "Ready")
    assert ready["reason"] == "SomeUnhealthy" and "1 of 2" in ready["message"], ready
    engine.ask("POST", f"/containers/roost-{victim}/unpause")
    assert victim in {i["id"] for i in server.healthy(node, 2)}, "the same container"


def test_a_container_that_stays_paused_is_replaced(server: Roost) -> None:
    node = make(server, "frozen", image={"startTimeoutSeconds": 3})
    victim = server.instances(node)[0]["id"]
    engine.ask("POST", f"/containers/roost-{victim}/pause")
    wait_for("it is replaced", lambda: victim not in {i["id"] for i in server.instances(node)})
    error = server.status(node)["lastError"]
    assert "was unhealthy for 3" in error["message"], error
    server.healthy(node, 1)
    wait_for("one container", lambda: len(containers(node)) == 1)


def test_all_containers_and_the_network_removed_at_once_are_made_again(server: Roost) -> None:
    node = make(server, "erased", 2)
    before = {i["id"] for i in server.instances(node)}
    name = next(n for n in left_of(node) if not n.startswith("/"))
    # Roost would make others before the network is empty.
    assert server.process
    server.process.send_signal(signal.SIGSTOP)
    try:
        for victim in before:
            engine.ask("DELETE", f"/containers/roost-{victim}?force=1")
        engine.ask("DELETE", f"/networks/{name}")
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_for("others", lambda: before.isdisjoint({i["id"] for i in server.instances(node)}) and server.instances(node))
    server.healthy(node, 2)
    assert name in left_of(node)
    assert get(server, node, "/id").status == 200


def test_containers_cut_off_from_their_network_are_replaced(server: Roost) -> None:
    node = make(server, "cut-off", image={"startTimeoutSeconds": 3})
    victim = server.instances(node)[0]["id"]
    name = next(n for n in left_of(node) if not n.startswith("/"))
    engine.ask("POST", f"/networks/{name}/disconnect", {"Container": f"roost-{victim}", "Force": True})
    engine.ask("DELETE", f"/networks/{name}")
    unhealthy = wait_for("it is seen", lambda: next((i for i in server.instances(node) if i["status"] == "UNHEALTHY"), None))
    assert "GET /health at" in unhealthy["lastError"]["message"], unhealthy
    answer = get(server, node, "/id")
    assert answer.status == 503 and b"no healthy instance" in answer.body, answer
    wait_for("it is replaced", lambda: victim not in {i["id"] for i in server.instances(node)})
    server.healthy(node, 1)
    assert get(server, node, "/id").status == 200


# MARK: disk and registry


def test_a_full_data_folder_stops_no_request_and_heals(tmp_path: pathlib.Path) -> None:
    small = pathlib.Path(tempfile.mkdtemp(prefix="roost-small-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "roost-small", small], check=True)
    server = Roost(small / "data", "--engine", SOCKET)
    server.log = tmp_path / "log"
    try:
        server.start()
        node = make(server, "crowded", 2)
        ballast = small / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        try:
            assert all(get(server, node, "/id").status == 200 for _ in range(20))
            refused = server.call("PATCH", f"/v1/nodes/{node}?update_mask=description", {"description": "x" * 200})
            assert refused.status == 429 and "disk" in refused.json["detail"], refused
            victim = server.instances(node)[0]["id"]
            engine.ask("POST", f"/containers/roost-{victim}/kill")
            wait_for("the end is seen", lambda: victim not in {i["id"] for i in server.instances(node)})
            assert get(server, node, "/id").status == 200, "the other one serves"
            assert victim in server.status(node)["lastError"]["message"]
        finally:
            ballast.unlink()
        found = {i["id"] for i in server.healthy(node, 2)}

        def recorded() -> bool:
            with closing(sqlite3.connect(f"file:{server.data}/roost.db?mode=ro", uri=True)) as database:
                return found <= {row[0] for row in database.execute("SELECT id FROM instance")}

        wait_for("both are recorded", recorded)
        server.kill()
        server.start()
        assert {i["id"] for i in server.healthy(node, 2)} == found, "they are found again"
        wait_for("two containers", lambda: len(containers(node)) == 2)
        server.close()
        assert left_of(node) == []
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
        subprocess.run(["umount", "-l", small], check=True)
        small.rmdir()


def test_a_registry_that_is_down_is_told_and_tried_again(registry: Forwarder, make_server: Callable[..., Roost]) -> None:
    server = make_server("--engine", SOCKET)
    registry.down()
    node, operation = begin(server, "waiting", {"reference": f"{registry.address}/team/testapp:1"})
    error = wait_for("it is told", lambda: server.status(node).get("lastError"))
    assert registry.address in error["message"] and "can't be asked" in error["message"], error
    assert server.status(node)["status"] != "HEALTHY"
    server.finished(operation, 120)
    registry.up()
    server.healthy(node, 1)

    # What was pinned and is here goes on without the registry, after a restart of roost too.
    registry.down()
    victim = server.instances(node)[0]["id"]
    engine.ask("DELETE", f"/containers/roost-{victim}?force=1")
    wait_for("another one", lambda: victim not in {i["id"] for i in server.instances(node)})
    second = server.healthy(node, 1)[0]["id"]
    server.kill()
    engine.ask("DELETE", f"/containers/roost-{second}?force=1")
    server.start()
    wait_for("another one", lambda: second not in {i["id"] for i in server.instances(node)})
    server.healthy(node, 1)
    assert get(server, node, "/id").status == 200
    registry.up()


def test_a_registry_that_hangs_is_told(registry: Forwarder, make_server: Callable[..., Roost]) -> None:
    server = make_server("--engine", SOCKET)
    registry.silent = True
    node, _ = begin(server, "hanging", {"reference": f"{registry.address}/team/testapp:1"})
    image = condition(server, node, "Image")
    assert (image["status"], image["reason"]) == (False, "Getting"), image
    error = wait_for("it is told", lambda: server.status(node).get("lastError"), 120)
    assert registry.address in error["message"], error
    assert condition(server, node, "Engine")["status"], "the engine is not to blame"
    registry.down()
    registry.up()
    server.healthy(node, 1)
