"""Weights over many requests and all loops, and how many callers a change of weights moves; with h2load and nginx."""

from __future__ import annotations

import http.client
import json
import math
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from conftest import Roost, wait_for

LOOPS = 4
REQUESTS = int(os.environ.get("ROOST_WEIGHT_REQUESTS") or 100_000)
NODES = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def server() -> Iterator[Roost]:
    """Four address nodes, each a port of one nginx."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    ports: list[int] = []
    held = [socket.socket() for _ in NODES]
    for one in held:
        one.bind(("127.0.0.1", 0))
        ports.append(int(one.getsockname()[1]))
    for one in held:
        one.close()
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port} backlog=1024; keepalive_requests 10000000; location / {{ return 200 '{name}'; }} }}\n"
        for name, port in zip(NODES, ports)
    )
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\nevents {{ worker_connections 4096; }}\n"
        f"http {{ access_log off;\n"
        + "".join(f"{what}_temp_path {folder}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + servers
        + "}\n"
    )
    nginx = subprocess.Popen(["nginx", "-c", conf, "-p", folder, "-e", "stderr"], stderr=subprocess.DEVNULL)
    server = Roost(folder / "data", "--loops", str(LOOPS)).start()
    for name, port in zip(NODES, ports):
        wait_for("nginx listens", lambda at=port: socket.socket().connect_ex(("127.0.0.1", at)) == 0)
        body = {"name": name, "kind": "address", "addresses": [{"address": f"127.0.0.1:{port}"}], "endpoint": {"type": "http"}}
        answer = server.call("POST", "/v1/nodes", body)
        assert answer.status == 202, answer
        server.healthy(str(answer.json["resourceId"]), 1)
    yield server
    server.close()
    nginx.terminate()
    nginx.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


def test_weights_hold_over_all_loops(server: Roost) -> None:
    weights = {"one": 50, "two": 30, "three": 17, "four": 3}
    shares = [{"node": node, "weight": weight} for node, weight in weights.items()]
    assert server.call("POST", "/v1/aliases", {"name": "weighed", "shares": shares}).status == 201
    done = subprocess.run(
        ["h2load", "--h1", "-n", str(REQUESTS), "-c", "32", "-t", "1", "-H", f"authorization: Bearer {server.token}",
         "-H", "x-node-alias: weighed", "-H", f"x-folder-id: {server.folder}", f"{server.url}/"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert f"{REQUESTS} succeeded, 0 failed, 0 errored" in done.stdout, done.stdout[-2000:]
    assert f"status codes: {REQUESTS} 2xx" in done.stdout, done.stdout[-2000:]
    found = {share["nodeName"]: share["requests"] for share in server.get("/v1/aliases/weighed")["shares"]}
    print({node: found[node] / REQUESTS for node in weights})
    assert sum(found.values()) == REQUESTS
    for node, weight in weights.items():
        assert abs(found[node] / REQUESTS - weight / 100) <= 0.01, found
        # Exact over any hundred of a loop: all that may be off is the begun hundred of each.
        assert abs(found[node] - REQUESTS * weight / 100) <= LOOPS * 100 * weight / 100 + LOOPS, found


def test_a_change_of_weights_moves_only_whom_it_must(server: Roost) -> None:
    def publish(weights: dict[str, int]) -> None:
        body = {"shares": [{"node": node, "weight": weight} for node, weight in weights.items()]}
        more = {"name": "sticky", "sticky": {"by": "header", "name": "x-user"}, "showNode": True}
        made = server.call("POST", "/v1/aliases", {**more, **body})
        if made.status != 201:
            assert server.call("PATCH", "/v1/aliases/sticky?update_mask=shares", body).status == 200

    users = [f"user-{number}" for number in range(4000)]
    loops: set[int] = set()

    def ask() -> dict[str, str]:
        """Each user by one of several connections, so that every loop is asked."""
        found = {}
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(2 * LOOPS)]
        common = {"authorization": f"Bearer {server.token}", "x-node-alias": "sticky", "x-folder-id": server.folder}
        for number, user in enumerate(users):
            connection = connections[number % len(connections)]
            connection.request("GET", "/", headers={**common, "x-user": user})
            answer = connection.getresponse()
            found[user] = answer.read().decode()
            assert answer.status == 200, found[user]
            if number < len(connections):
                loops.add(server.get(f"/v1/requests/{answer.getheader('x-request-id')}")["loop"])
        for connection in connections:
            connection.close()
        return found

    steps: list[dict[str, int]] = [
        {"one": 50, "two": 30, "three": 20},
        {"one": 40, "two": 30, "three": 30},
        {"one": 40, "two": 0, "three": 30, "four": 30},
        {"one": 25, "two": 25, "three": 25, "four": 25},
    ]
    publish(steps[0])
    before = ask()
    users.reverse()
    assert before == ask(), "whoever asks again, at whatever loop, stays"
    for old, new in zip(steps, steps[1:]):
        publish(new)
        after = ask()
        moved = [user for user in users if before[user] != after[user]]
        must = sum(max(0, weight - new.get(node, 0)) for node, weight in old.items()) / 100
        slack = 4 * math.sqrt(must * (1 - must) / len(users))
        print(json.dumps(old), "->", json.dumps(new), f"moved {len(moved) / len(users):.3f}, must {must:.3f}")
        assert len(moved) / len(users) <= must + slack
        for user in moved:
            assert old.get(before[user], 0) > new.get(before[user], 0), "only away from a share that shrank"
            assert new[after[user]] > old.get(after[user], 0), "only to one that grew"
        before = after
    assert len(loops) > 1, loops
