"""Image nodes: containers of a real engine behind the gateway, from create to delete."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import engine
import grpc
import pytest
from conftest import Answer, Roost, wait_for
from engine import PASSWORD, REGISTRY, SOCKET, Engine, containers, inspect, left_of
from grpc_health.v1 import health_pb2, health_pb2_grpc

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

QUICK = {"type": "http", "path": "/health", "timeoutSeconds": 2, "intervalSeconds": 0.2, "failsThreshold": 2, "passesThreshold": 1}


def images(server: Roost, node: str, method: str, path: str, body: bytes | None = None) -> Answer:
    return server.call(method, path, raw=body, headers={"x-node-id": node, "x-folder-id": server.folder})


def make(server: Roost, name: str, image: dict[str, Any] | None = None, wait: bool = True, **more: Any) -> str:
    asked = {"reference": "testapp:1", "port": 8080, **(image or {})}
    body = {"name": name, "kind": "image", "image": asked, "memoryBytes": 256 << 20, "cpus": 1, "healthCheck": QUICK, **more}
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    if wait:
        operation = server.finished(answer.json["id"], 120)
        assert "error" not in operation, operation
    return str(answer.json["resourceId"])


def failure(server: Roost, name: str, image: dict[str, Any], **more: Any) -> tuple[str, str]:
    """The node and what its operation says when it can't become healthy."""
    body = {"name": name, "kind": "image", "image": {"port": 8080, **image}, "healthCheck": QUICK, **more}
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    operation = server.finished(answer.json["id"], 120)
    return str(answer.json["resourceId"]), str(operation["error"]["message"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    server = Roost(tmp_path_factory.mktemp("images") / "data", "--engine", SOCKET).start()
    yield server
    nodes = [node["id"] for node in server.get("/v1/nodes")["nodes"]]
    server.close()
    assert [left_of(node) for node in nodes] == [[] for _ in nodes]


def test_an_image_answers_behind_the_gateway_and_nothing_is_left_of_it(server: Roost) -> None:
    out = server.cli(
        "node", "create", "web", "--image", "testapp:1", "--port", "9090", "--instances", "2", "--memory", "256MiB",
        "--env", "APP_COLOR=red", "--env", "NAME=web", "--health-check", "http:/health", "--disk", "10", "--wait",
    ).stdout  # fmt: skip
    assert "HEALTHY" in out
    node = str(next(n["id"] for n in server.get("/v1/nodes")["nodes"] if n["name"] == "web"))
    seen = {images(server, node, "GET", "/id").json["host"] for _ in range(40)}
    found = server.instances(node)
    assert seen == {i["id"] for i in found}, "both instances get requests"
    answer = images(server, node, "POST", "/echo", b"x" * 100_000)
    assert (answer.status, answer.body) == (200, b"x" * 100_000)
    assert images(server, node, "GET", "/id").json["env"] == {"APP_COLOR": "red"}
    details = inspect(found[0]["id"])
    limits = details["HostConfig"]
    assert limits["ReadonlyRootfs"] and limits["CapDrop"] == ["ALL"] and "no-new-privileges" in limits["SecurityOpt"]
    assert (limits["Memory"], limits["MemorySwap"], limits["PidsLimit"]) == (256 << 20, 256 << 20, 4096)
    assert set(limits["Tmpfs"]) == {"/run", "/tmp", "/var/tmp"}
    assert [m["Destination"] for m in details["Mounts"]] == ["/disk"]
    assert '"port": 9090' in " ".join(line["message"] for line in server.logs(node))

    def used() -> bool:
        one = server.instances(node)[0]
        return one.get("cpuSeconds", 0) > 0 and one.get("privateBytes", 0) > 1 << 20

    wait_for("what it uses is seen", used)

    server.cli("node", "update", "web", "--instances", "3", "--max", "3", "--wait")
    server.healthy(node, 3)
    server.cli("node", "update", "web", "--min", "1", "--instances", "1", "--wait")
    server.healthy(node, 1)
    wait_for("one container", lambda: len(containers(node)) == 1)
    server.cli("node", "suspend", "web", "--wait")
    assert containers(node) == []
    server.cli("node", "resume", "web", "--wait")
    assert images(server, node, "GET", "/health").status == 200
    server.cli("node", "delete", "web", "--yes", "--wait")
    assert left_of(node) == []
    assert not [p for p in (server.data / "images").iterdir() if p.name.startswith(node)]


def test_grpc_and_its_health_go_through(server: Roost) -> None:
    node = make(server, "calls", endpoint={"type": "grpc"}, healthCheck={**QUICK, "type": "grpc", "path": None})
    metadata = (("authorization", f"Bearer {server.token}"), ("x-node-id", node), ("x-folder-id", server.folder))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        unary = channel.unary_unary("/test.Echo/Unary")
        assert unary(b"hello", metadata=metadata, timeout=30) == b"hello"
        stream = channel.unary_stream("/test.Echo/ServerStream")
        assert list(stream(b"n", metadata=metadata, timeout=30)) == [b"n%d" % i for i in range(5)]
        stub = health_pb2_grpc.HealthStub(channel)
        found = stub.Check(health_pb2.HealthCheckRequest(), metadata=metadata, timeout=30)
        assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_dead_containers_are_replaced_and_say_why(server: Roost) -> None:
    node = make(server, "mortal", instances={"count": 2, "min": 1, "max": 2})
    first = {i["id"] for i in server.instances(node)}
    images(server, node, "POST", "/crash?code=3")
    wait_for("the crash is seen", lambda: server.status(node)["restarts"] == 1)
    error = server.status(node)["lastError"]
    assert "ended with exit code 3" in error["message"] and "crash requested" in error["message"]
    assert any("crash requested" in line for line in error["traceback"])
    second = {i["id"] for i in server.healthy(node, 2)}
    assert len(first & second) == 1

    images(server, node, "POST", "/oom?mb=2000")
    wait_for("the kill is seen", lambda: server.status(node)["restarts"] == 2)
    error = server.status(node)["lastError"]
    assert error["exitClass"] == "outOfMemory" and "memory limit of 256 MiB" in error["message"], error
    third = server.healthy(node, 2)

    engine.ask("DELETE", f"/containers/roost-{third[0]['id']}?force=1")
    wait_for("the removal is seen", lambda: server.status(node)["restarts"] == 3)
    server.healthy(node, 2)
    assert len(containers(node)) == 2


def test_an_unhealthy_container_leaves_rotation_and_comes_back(server: Roost) -> None:
    node = make(server, "moody")
    assert images(server, node, "POST", "/health?fail=1").status in (200, 503)
    wait_for("unhealthy", lambda: server.instances(node)[0]["status"] == "UNHEALTHY")
    assert server.status(node)["status"] == "UNHEALTHY"
    answer = images(server, node, "GET", "/id")
    assert answer.status == 503 and b"answered 503" in answer.body, answer
    address = server.instances(node)[0]["address"]
    import http.client

    direct = http.client.HTTPConnection(address)
    direct.request("POST", "/health?fail=0")
    direct.getresponse().read()
    server.healthy(node, 1)
    assert images(server, node, "GET", "/id").status == 200


def test_requests_under_way_end_before_a_container_is_stopped(server: Roost) -> None:
    node = make(server, "patient", {"drainSeconds": 20})
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(images(server, node, "GET", "/slow?s=3")))
    slow.start()
    address = server.instances(node)[0]["address"]
    import http.client

    def running() -> bool:
        direct = http.client.HTTPConnection(address)
        direct.request("GET", "/metrics")
        return b"app_inflight 2" in direct.getresponse().read()

    wait_for("the slow request runs", running)
    operation = server.call("POST", f"/v1/nodes/{node}:suspend")
    slow.join(60)
    assert (answers[0].status, answers[0].body) == (200, b"slow\n")
    server.finished(operation.json["id"])
    assert [line["message"] for line in server.logs(node)].count("SIGTERM") == 1


def test_containers_and_logs_survive_kill_9_of_roost(server: Roost) -> None:
    node = make(server, "survivor", instances={"count": 2, "min": 2, "max": 2})
    before = {c["Id"] for c in containers(node)}
    victim = server.instances(node)[0]
    server.kill()
    engine.ask("POST", f"/containers/roost-{victim['id']}/kill?signal=TERM")
    server.start()
    after = {i["id"] for i in server.healthy(node, 2)}
    assert victim["id"] not in after
    wait_for("two containers", lambda: len(containers(node)) == 2)
    assert len({c["Id"] for c in containers(node)} & before) == 1
    listening = [line for line in server.logs(node) if "listening" in line["message"]]
    assert len(listening) == 3, "each line once"
    assert images(server, node, "GET", "/id").status == 200


def test_what_is_wrong_with_an_image_is_said_in_plain_words(server: Roost) -> None:
    _, said = failure(server, "no-image", {"reference": "127.0.0.1:9/nothing:1"})
    assert "registry 127.0.0.1:9 can't be asked" in said or "connection refused" in said
    _, said = failure(server, "no-login", {"reference": f"{REGISTRY}/team/testapp:1"})
    assert "wants a login" in said and "docker login" in said
    _, said = failure(server, "no-command", {"reference": "testapp:1", "command": ["/nope"]})
    assert "the command '/nope' does not exist in the image" in said, said
    _, said = failure(server, "bad-start", {"reference": "testapp:1", "environment": {"FAIL_START": "7"}})
    assert "exit code 7" in said and "cannot start: FAIL_START is set" in said
    _, said = failure(
        server, "wrong-port", {"reference": "testapp:1", "port": 8080, "startTimeoutSeconds": 3, "command": ["/usr/bin/python3", "-c", "import time; time.sleep(1000)"]},
    )  # fmt: skip
    assert "nothing listens on port 8080" in said, said
    _, said = failure(server, "no-user", {"reference": "testapp:1", "runAs": "nosuch"})
    assert "user 'nosuch' does not exist in image" in said
    ids = {n["name"]: n["id"] for n in server.get("/v1/nodes")["nodes"]}
    for name in ("no-image", "no-login", "no-command", "bad-start", "wrong-port", "no-user"):
        server.cli("node", "delete", name, "--yes", "--wait")
        wait_for(f"nothing is left of {name}", lambda: left_of(ids[name]) == [])


@pytest.mark.parametrize(
    ("image", "field", "words"),
    [
        ({"reference": "Wrong"}, "image.reference", "capital letters"),
        ({"reference": "a", "port": 0}, "image.port", "1 to 65535"),
        ({"reference": "a", "environment": {"PORT": "1"}}, "image.environment.PORT", "give image.port"),
        ({"reference": "a", "capabilities": ["SYS_ADMIN"]}, "image.capabilities[0]", "can't be given"),
        ({"reference": "a", "diskGigabytes": 5}, "image.diskGigabytes", "10.0 to 4096.0"),
        ({"reference": "a", "writablePaths": ["tmp"]}, "image.writablePaths[0]", "absolute path"),
        ({"reference": "a", "preset": "rails"}, "image.preset", "fastapi, mlflow, sagemaker, triton"),
    ],
)
def test_a_wrong_field_is_named(server: Roost, image: dict[str, Any], field: str, words: str) -> None:
    body = {"name": "wrong", "kind": "image", "image": {"port": 8080, **image}}
    answer = server.call("POST", "/v1/nodes:validate", body)
    assert answer.status == 400 and field in answer.json["detail"] and words in answer.json["detail"], answer


def test_a_private_image_is_pulled_with_the_login_and_pinned(
    make_server: Callable[..., Roost], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(password: str) -> None:
        auth = base64.b64encode(f"json_key:{password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {REGISTRY: {"auth": auth}}}))

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    login("wrong")
    server = make_server("--engine", SOCKET)
    reference = f"{REGISTRY}/team/testapp:1"
    node, said = failure(server, "private", {"reference": reference})
    assert "refuses user 'json_key'" in said and "password is wrong" in said
    # Another test may have got it already.
    for image in engine.ask("GET", "/images/json"):
        if any(REGISTRY in digest for digest in image["RepoDigests"] or []):
            engine.ask("DELETE", f"/images/{image['Id']}?force=1")
    login(PASSWORD)
    server.healthy(node, 1)
    pinned = next(c for c in server.status(node)["conditions"] if c["type"] == "Image")
    assert "@sha256:" in pinned["message"]
    assert any("pulled" in line["message"] for line in server.logs(node))
    assert "@sha256:" in inspect(server.instances(node)[0]["id"])["Config"]["Image"]
    _, said = failure(server, "absent", {"reference": f"{REGISTRY}/team/nothing:1"})
    assert "does not exist in registry" in said
    server.cli("node", "delete", "private", "--yes", "--wait")
    assert left_of(node) == []


@pytest.mark.skipif(bool(SOCKET) and not os.environ.get("ROOST_TEST_ENGINE_PID"), reason="the engine is not ours to end")
def test_an_engine_that_hangs_ends_and_comes_back_is_told_and_outlived(server: Roost) -> None:
    node = make(server, "outliving", instances={"count": 2, "min": 2, "max": 2})
    process = Engine()

    def reachable() -> bool:
        return bool(next(c for c in server.status(node)["conditions"] if c["type"] == "Engine")["status"])

    wait_for("reachable", reachable)
    process.send(signal.SIGSTOP)
    try:
        wait_for("the hanging engine is told", lambda: not reachable())
        assert images(server, node, "GET", "/id").status == 200, "instances serve on"
    finally:
        process.send(signal.SIGCONT)
    wait_for("reachable again", reachable)
    before = {i["id"] for i in server.healthy(node, 2)}

    process.end(signal.SIGKILL)
    wait_for("the dead engine is told", lambda: not reachable())
    assert images(server, node, "GET", "/id").status == 200, "containers outlive their engine"
    process.start()
    wait_for("reachable again", reachable)
    server.healthy(node, 2)
    process.end(signal.SIGTERM)
    process.start()
    # An engine that ends takes its containers along.
    wait_for("others", lambda: not before & {i["id"] for i in server.instances(node)})
    server.healthy(node, 2)
    assert images(server, node, "GET", "/id").status == 200


def test_gpus_that_the_engine_can_not_give_are_said(server: Roost) -> None:
    node, said = failure(server, "gpus", {"reference": "testapp:1"}, configuration="g1.1", memoryBytes=256 << 20, cpus=1)
    assert "has 1 GPU, and the container engine can give none: install NVIDIA's driver and container toolkit" in said, said
    server.call("DELETE", f"/v1/nodes/{node}")
    wait_for("nothing is left", lambda: left_of(node) == [])
