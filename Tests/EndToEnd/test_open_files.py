"""A server that has few open files: its limit is raised, clients in numbers take none from instances, and are served in turn."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Roost, send_signal, wait_for

SOFT, HARD = 100, 200
"""What the server is started with; of 200 files, clients may have 150."""


@pytest.fixture
def poor() -> Iterator[Roost]:
    with tempfile.TemporaryDirectory(prefix="roost-e2e-") as folder:
        server = Roost(pathlib.Path(folder) / "data", "--loops", "1")
        server.before = ["prlimit", f"--nofile={SOFT}:{HARD}"]
        server.start()
        yield server
        server.close()


class Client:
    """A connection that is kept."""

    def __init__(self, roost: Roost) -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", roost.port, timeout=30)
        self.headers = {"authorization": f"Bearer {roost.token}", "content-type": "application/json"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self.link.request(method, path, body=None if body is None else json.dumps(body), headers=self.headers)
        answer = self.link.getresponse()
        text = answer.read()
        assert answer.status in (200, 202), (answer.status, text)
        return json.loads(text)

    def figures(self) -> dict[str, float]:
        self.link.request("GET", "/metrics", headers=self.headers)
        lines = self.link.getresponse().read().decode().splitlines()
        plain = [line.split() for line in lines if not line.startswith("#") and "{" not in line]
        return {name: float(value) for name, value in plain}


@contextlib.contextmanager
def crowd(roost: Roost, count: int, greeting: bytes) -> Iterator[list[socket.socket]]:
    """Clients that connect, say something and stay; those that are not accepted wait in the kernel's queue."""
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            clients.append(socket.create_connection(("127.0.0.1", roost.port), timeout=5))
            clients[-1].sendall(greeting)
        yield clients
    finally:
        for client in clients:
            client.close()


def test_the_server_raises_its_limit_and_instances_keep_theirs(poor: Roost) -> None:
    assert poor.process
    limits = pathlib.Path(f"/proc/{poor.process.pid}/limits").read_text()
    assert [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")] == [["200", "200"]]
    poor.checkpoint("import resource", "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)", name="limits")
    node = poor.node("limits", inputs=[], outputs=["soft:int", "hard:int"])
    assert poor.execute(node, {}).json["output"] == {"soft": SOFT, "hard": HARD}


def test_clients_in_numbers_take_no_files_from_instances(poor: Roost) -> None:
    poor.checkpoint("n = 0", "result = n + 1", name="adder")
    node = poor.node("first", checkpoint="adder", inputs=["n:int"], outputs=["result:int"], instances={"count": 2})
    before = poor.healthy(node, 2)
    kept = Client(poor)
    path, body = f"/datasphere/v1/nodes/{node}:execute", {"folder_id": poor.folder, "input": {"n": 1}}
    assert kept.call("POST", path, body) == {"output": {"result": 2}}
    with crowd(poor, 250, b"GET /healthz HTTP/1.1\r\nhost: "):
        wait_for("no more are accepted", lambda: kept.figures()["roost_gateway_accept_pauses_total"] > 0)
        figures = kept.figures()
        assert figures["process_max_fds"] == HARD and figures["process_open_fds"] < HARD * 0.8, figures
        # Neither the instances nor what makes and mends them notice.
        assert kept.call("POST", path, body) == {"output": {"result": 2}}
        operation = kept.call("POST", "/v1/nodes", {
            "name": "second", "checkpoint": "adder",
            "inputs": [{"name": "n", "type": "int"}], "outputs": [{"name": "result", "type": "int"}],
        })  # fmt: skip
        wait_for("it is made", lambda: kept.call("GET", f"/v1/operations/{operation['id']}")["done"])
        instances = kept.call("GET", "/v1/instances?node=first")["instances"]
        assert [i["id"] for i in instances] == [i["id"] for i in before]
        send_signal(instances[0]["pid"])

        def replaced() -> bool:
            found = kept.call("GET", "/v1/instances?node=first")["instances"]
            return instances[0]["id"] not in [i["id"] for i in found] and [i["status"] for i in found] == ["HEALTHY"] * 2

        wait_for("the one that was killed is replaced", replaced)
        assert kept.call("GET", f"/v1/nodes/{node}")["status"]["status"] == "HEALTHY"
        assert kept.call("POST", path, body) == {"output": {"result": 2}}
    assert poor.execute(node, {"n": 2}).json["output"] == {"result": 3}
    assert "clients wait to be accepted" in poor.log.read_text()


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_idle_connections_make_room_for_new_clients(poor: Roost, version: str) -> None:
    # A whole request, or the preface and the settings of a client that asks for nothing.
    greeting = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    if version == "HTTP/2":
        greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    kept = Client(poor)
    assert kept.call("GET", "/v1/nodes") == {"nodes": []}
    with crowd(poor, 250, greeting) as clients:
        wait_for("no more are accepted", lambda: kept.figures()["roost_gateway_accept_pauses_total"] > 0)

        def heard(client: socket.socket) -> bytes:
            # One that asks now and then is not silent, and stays.
            assert kept.call("GET", "/v1/nodes") == {"nodes": []}
            client.settimeout(1)
            with contextlib.suppress(TimeoutError):
                return client.recv(9)
            return b""

        # Whoever is silent for 5 seconds loses the connection to those who wait: all of the 250 get their turn.
        for client in clients:
            wait_for("a client gets its turn", lambda: heard(client), 30)
        figures = kept.figures()
        assert figures["roost_gateway_ended_idle_connections_total"] >= 90, figures
    assert poor.call("GET", "/v1/nodes").json == {"nodes": []}
