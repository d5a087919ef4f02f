"""Address nodes: real servers (Python, nginx, grpcio) are registered, probed, taken out of rotation and brought back."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from conftest import Answer, Roost, wait_for
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
QUICK = {"timeoutSeconds": 0.5, "intervalSeconds": 0.1, "failsThreshold": 2, "passesThreshold": 2}


class Web:
    """An HTTP/1.1 server whose next answers the test decides."""

    def __init__(self) -> None:
        self.status = 200
        self.speaks = threading.Event()
        self.speaks.set()
        self.seen: list[tuple[str, str]] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.seen.append((self.path, self.headers["host"]))
                web.speaks.wait(60)
                self.send_response(web.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self.speaks.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Callable[[], Web]]:
    made: list[Web] = []

    def make() -> Web:
        made.append(Web())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def nginx(tmp_path: pathlib.Path) -> Iterator[Callable[[str], None]]:
    """Starts nginx with the given `listen` and waits until it takes connections."""
    running: list[subprocess.Popen[bytes]] = []

    def start(listen: str) -> None:
        folder = tmp_path / f"nginx{len(running)}"
        folder.mkdir()
        configuration = folder / "nginx.conf"
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration.write_text(
            f"pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}"
            f"server {{ listen {listen}; location /healthz {{ return 204; }} location /gone {{ return 503; }} }}\n}}\n"
        )
        command = [NGINX, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log"), "-g", "daemon off;"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.append(process)
        wait_for("nginx has started", (folder / "pid").exists)

    yield start
    for process in running:
        process.terminate()
        process.wait(30)


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


def register(roost: Roost, name: str, addresses: list[str], *, wait: bool = True, **more: Any) -> str:
    body = {"name": name, "kind": "address", "addresses": [{"address": a} for a in addresses], **more}
    answer = roost.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    if wait:
        assert "error" not in roost.finished(answer.json["id"])
    return str(answer.json["resourceId"])


def instance(roost: Roost, node: str, address: str) -> dict[str, Any]:
    return next(i for i in roost.instances(node) if i["address"] == address)


def turns(roost: Roost, node: str, address: str, status: str, words: str) -> dict[str, Any]:
    """Waits until an address has a status and its newest probe says these words."""

    def level() -> Any:
        found = instance(roost, node, address)
        good = found["status"] == status and words in found.get("lastProbe", {}).get("message", "")
        return found if good else None

    return dict(wait_for(f"{address} is {status} with '{words}'", level))


def test_verdicts_follow_what_a_server_answers(roost: Roost, web: Callable[[], Web]) -> None:
    server, other = web(), web()
    node = register(roost, "verdicts", [server.address, other.address], healthCheck={"path": "/healthz?a=b", **QUICK})
    assert roost.status(node)["healthyInstances"] == 2
    assert server.seen[0] == ("/healthz?a=b", server.address)

    server.status = 500
    turns(roost, node, server.address, "UNHEALTHY", "answered 500")
    status = roost.status(node)
    assert (status["status"], status["healthyInstances"]) == ("HEALTHY", 1)
    assert status["lastError"]["message"] == f"GET /healthz?a=b at {server.address}: answered 500"
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == (False, "SomeUnhealthy") and "answered 500" in ready["message"]

    server.status = 302
    turns(roost, node, server.address, "HEALTHY", "answered 302")
    server.speaks.clear()
    turns(roost, node, server.address, "UNHEALTHY", "no answer in 0.5 s")
    server.speaks.set()
    turns(roost, node, server.address, "HEALTHY", "answered 302")
    for one in (server, other):
        one.server.socket.close()
        turns(roost, node, one.address, "UNHEALTHY", "connection refused")
    wait_for("the node is unhealthy", lambda: roost.status(node)["status"] == "UNHEALTHY")
    lines = [line["message"] for line in roost.logs(node)]
    assert f"{server.address} left rotation: answered 500" in lines
    assert f"{server.address} entered rotation: answered 302" in lines


def test_a_server_that_starts_late_is_found(roost: Roost, nginx: Callable[[str], None], free_port: int) -> None:
    address = f"localhost:{free_port}"
    node = register(roost, "late", [address], wait=False, healthCheck={"path": "/healthz", **QUICK, "intervalSeconds": 15})
    turns(roost, node, address, "UNHEALTHY", "connection refused")
    nginx(f"127.0.0.1:{free_port}")
    turns(roost, node, address, "HEALTHY", "answered 204")


def test_an_operation_ends_with_what_was_seen(roost: Roost, free_port: int) -> None:
    answer = roost.call(
        "POST", "/v1/nodes", {"name": "nobody", "kind": "address", "addresses": [{"address": f"127.0.0.1:{free_port}"}]}
    )
    operation = roost.finished(answer.json["id"])
    assert f"connecting to 127.0.0.1:{free_port}: connection refused" in operation["error"]["message"]
    assert roost.status(operation["resourceId"])["status"] == "UNHEALTHY"


def test_without_a_health_check_a_connection_is_enough_and_the_condition_says_so(
    roost: Roost, nginx: Callable[[str], None], tmp_path: pathlib.Path
) -> None:
    socket = f"unix:{tmp_path}/app.sock"
    nginx(socket)
    node = register(roost, "sockets", [socket])
    assert turns(roost, node, socket, "HEALTHY", "connected")["wireProtocol"] == "http1"
    condition = next(c for c in roost.status(node)["conditions"] if c["type"] == "HealthCheck")
    assert (condition["status"], condition["reason"]) == (False, "ConnectOnly")


def test_health_checks_speak_http2_where_the_endpoint_does(
    roost: Roost, nginx: Callable[[str], None], web: Callable[[], Web], free_port: int
) -> None:
    nginx(f"127.0.0.1:{free_port} http2")
    good, old = f"127.0.0.1:{free_port}", web().address
    check = {"path": "/healthz", **QUICK}
    node = register(roost, "two", [good, old], endpoint={"type": "http2"}, healthCheck=check)
    assert turns(roost, node, good, "HEALTHY", "answered 204")["wireProtocol"] == "http2"
    turns(roost, node, old, "UNHEALTHY", "it does not speak HTTP/2")
    gone = register(roost, "gone", [good], wait=False, endpoint={"type": "http2"}, healthCheck={**check, "path": "/gone"})
    turns(roost, gone, good, "UNHEALTHY", "answered 503")


@pytest.fixture
def grpc_server() -> Iterator[tuple[str, health.HealthServicer | None, Callable[[bool], str]]]:
    servers: list[grpc.Server] = []
    servicer = health.HealthServicer()

    def start(with_health: bool) -> str:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        if with_health:
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start(True), servicer, start
    for server in servers:
        server.stop(None).wait()


def test_grpc_health_is_asked_by_service_name(
    roost: Roost, grpc_server: tuple[str, Any, Callable[[bool], str]]
) -> None:
    address, servicer, start = grpc_server
    bare = start(False)
    servicer.set("echo.v1.Echo", health_pb2.HealthCheckResponse.SERVING)
    check = {"type": "grpc", "service": "echo.v1.Echo", **QUICK}
    node = register(roost, "echo", [address, bare], endpoint={"type": "grpc"}, healthCheck=check)
    turns(roost, node, address, "HEALTHY", "answered SERVING")
    turns(roost, node, bare, "UNHEALTHY", "it has no health service")
    servicer.set("echo.v1.Echo", health_pb2.HealthCheckResponse.NOT_SERVING)
    turns(roost, node, address, "UNHEALTHY", "answered NOT_SERVING")
    servicer.set("echo.v1.Echo", health_pb2.HealthCheckResponse.SERVING)
    turns(roost, node, address, "HEALTHY", "answered SERVING")

    whole = register(roost, "whole", [address], endpoint={"type": "grpc"}, healthCheck={"type": "grpc", **QUICK})
    turns(roost, whole, address, "HEALTHY", "answered SERVING")
    wrong = register(
        roost, "wrong", [address], wait=False, endpoint={"type": "grpc"}, healthCheck={**check, "service": "other.Service"}
    )
    turns(roost, wrong, address, "UNHEALTHY", "does not know 'other.Service'")


def test_the_command_line_registers_shows_changes_and_removes(roost: Roost, web: Callable[[], Web], free_port: int) -> None:
    first, second = web(), web()
    roost.cli(
        "node", "create", "shop", "--address", first.address, "--endpoint", "http", "--health-check", "http:/ready",
        "--health-interval", "200ms", "--timeout", "30s", "--idle-timeout", "60s", "--wait",
    )  # fmt: skip
    text = roost.cli("node", "describe", "shop").stdout
    for words in ("GET /ready every 0.2 s", first.address, "passed: answered 200", "x-node-id", "idle timeout"):
        assert words in text, text
    assert "address" in roost.cli("node", "list").stdout

    roost.cli("node", "update", "shop", "--address", second.address, "--wait")
    assert [i["address"] for i in roost.healthy("shop", 1)] == [second.address]
    assert roost.get("/v1/nodes/shop")["spec"]["timeoutSeconds"] == 30
    failed = roost.cli("node", "update", "shop", "--address", f"127.0.0.1:{free_port}", "--wait", check=False)
    assert failed.returncode != 0 and "connection refused" in failed.stderr and "former addresses stay" in failed.stderr
    assert instance(roost, "shop", second.address)["status"] == "HEALTHY"
    roost.cli("node", "update", "shop", "--address", second.address, "--per-instance-limit", "7", "--wait")
    assert roost.get("/v1/nodes/shop")["spec"]["address"]["endpoint"]["perInstanceLimit"] == 7

    roost.cli("node", "suspend", "shop", "--wait")
    assert roost.instances("shop") == []
    seen = len(second.seen)
    roost.cli("node", "resume", "shop", "--wait")
    assert len(second.seen) > seen
    assert "can't be reset" in roost.cli("node", "reset", "shop", check=False).stderr
    assert "has no cell to run" in roost.cli("node", "call", "shop", check=False).stderr
    roost.cli("node", "delete", "shop", "--yes", "--wait")
    assert "shop" not in [n["name"] for n in roost.get("/v1/nodes")["nodes"]]


def test_replacing_every_address_loses_no_request(roost: Roost, web: Callable[[], Web]) -> None:
    former, later = [web(), web()], [web(), web()]
    node = register(roost, "moving", [w.address for w in former], healthCheck=QUICK)
    wait_for("the node is routed", lambda: proxied(roost, node).status == 200)
    stop, answers = threading.Event(), list[int]()

    def calling() -> None:
        while not stop.is_set():
            answers.append(proxied(roost, node).status)

    callers = [threading.Thread(target=calling) for _ in range(4)]
    for caller in callers:
        caller.start()
    for servers in (later, former, later):
        wait_for("requests go on", lambda wanted=len(answers) + 20: len(answers) > wanted)
        roost.cli("node", "update", "moving", *[f"--address={w.address}" for w in servers], "--wait")
    stop.set()
    for caller in callers:
        caller.join()
    assert set(answers) == {200}, {code: answers.count(code) for code in set(answers)}
    assert all(w.seen for w in later)


def test_rates_are_limited_for_all_and_for_each(roost: Roost, web: Callable[[], Web]) -> None:
    server = web()
    limit = {"requestsPerSecond": 0.001, "burst": 3}
    node = register(roost, "limited", [server.address], callerRateLimit=limit)
    wait_for("the node is routed", lambda: proxied(roost, node).status == 200)
    assert [proxied(roost, node).status for _ in range(3)] == [200, 200, 429]
    refused = proxied(roost, node)
    assert int(refused.headers["retry-after"]) > 900 and "of one caller" in refused.body.decode()
    assert "3 at once" in roost.cli("node", "describe", "limited").stdout


def test_callers_whose_requests_are_shed_keep_their_connection(roost: Roost, web: Callable[[], Web]) -> None:
    node = register(roost, "shedding", [web().address], rateLimit={"requestsPerSecond": 0.001, "burst": 1})
    wait_for("requests are shed", lambda: proxied(roost, node).status == 429)
    headers = {"authorization": f"Bearer {roost.token}", "x-node-id": node}
    connection = http.client.HTTPConnection("127.0.0.1", roost.port, timeout=60)
    try:
        connection.connect()
        first = connection.sock
        # The answer comes before the body does: http.client sends them apart.
        for size in (1, 1000, 262144):
            connection.request("POST", "/work", bytes(size), headers)
            answer = connection.getresponse()
            assert (answer.status, answer.headers["connection"]) == (429, None) and answer.read()
            assert connection.sock is first
        connection.request("POST", "/work", bytes(262145), headers)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["connection"]) == (429, "close") and answer.read()
        assert connection.sock is None
    finally:
        connection.close()


def proxied(roost: Roost, node: str) -> Answer:
    return roost.call("GET", "/work", headers={"x-node-id": node})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"addresses": []}, "addresses"),
        ({"addresses": [{"address": "http://a:80"}]}, "addresses[0].address"),
        ({"addresses": [{"address": "a"}]}, "addresses[0].address"),
        ({"addresses": [{"address": "a:80"}, {"address": "A:80"}]}, "addresses[1].address"),
        ({"endpoint": {"type": "tcp"}}, "endpoint.type"),
        ({"endpoint": {"perInstanceLimit": 0}}, "endpoint.perInstanceLimit"),
        ({"healthCheck": {"path": "healthz"}}, "healthCheck.path"),
        ({"healthCheck": {"failsThreshold": 0}}, "healthCheck.failsThreshold"),
        ({"checkpoint": "c"}, "checkpoint"),
        ({"instances": {"count": 3}}, "instances.count"),
        ({"rateLimit": {"requestsPerSecond": 0, "burst": 1}}, "rateLimit.requestsPerSecond"),
        ({"kind": "cell"}, "addresses"),
    ],
)
def test_a_bad_field_is_named(roost: Roost, change: dict[str, Any], field: str) -> None:
    body = {"name": "bad", "kind": "address", "addresses": [{"address": "127.0.0.1:80"}], **change}
    answer = roost.call("POST", "/v1/nodes:validate", body)
    assert (answer.status, answer.json["field"]) == (400, field), answer


def test_a_restart_keeps_the_instances_and_judges_them_anew(
    make_server: Callable[..., Roost], web: Callable[[], Web]
) -> None:
    server = make_server()
    stays, leaves = web(), web()
    node = register(server, "kept", [stays.address, leaves.address], healthCheck=QUICK)
    before = {i["address"]: i["id"] for i in server.healthy(node, 2)}
    server.kill()
    leaves.status = 503
    server.start()
    assert {i["address"]: i["id"] for i in server.instances(node)} == before
    assert instance(server, node, stays.address)["status"] == "HEALTHY"
    assert instance(server, node, leaves.address)["status"] == "UNHEALTHY"
    assert server.status(node)["restarts"] == 0
    table = json.loads(subprocess.run(
        [os.fspath(pathlib.Path(__file__).parents[2] / "bin" / "roost"), "node", "list", "--output", "json"],
        env=server.environment, capture_output=True, text=True, check=True,
    ).stdout)  # fmt: skip
    assert table["nodes"][0]["kind"] == "address"
