"""`roost upgrade`: another process takes over under load of every kind, and nobody notices."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest
from conftest import BINARY, Answer, Roost, send_signal, wait_for
from load import Load, evidence
from upgrading import App, Upgradable, is_running, make_address_node


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def serving(folder: pathlib.Path, *flags: str) -> Iterator[Upgradable]:
    server = Upgradable(folder / "data", *flags)
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def apps() -> Iterator[list[App]]:
    found = [App("one"), App("two")]
    yield found
    for app in found:
        app.close()


def cell(server: Roost, name: str = "adder", **more: object) -> str:
    server.checkpoint("x = 1", "y = x + 1", name=name)
    return server.node(name, inputs=["x:int"], outputs=["y:int"], instances={"count": 2}, **more)


def serve_lines(server: Roost) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == "roost serves"]


def test_another_process_takes_over_under_load(folder: pathlib.Path, apps: list[App]) -> None:
    with serving(folder) as server:
        adder = cell(server)
        web, calls = make_address_node(server, "web", apps), make_address_node(server, "calls", apps, "grpc")
        before = {i["id"] for i in server.instances(adder)}
        load = Load(server, {"x-node-id": web}, {"x-node-id": calls}, cell=f"/datasphere/v1/nodes/{adder}:execute")
        pids = [server.pid]
        try:
            wait_for("all clients are at work", lambda: load.at_work, 30)
            for _ in range(3):
                at = load.requests
                server.upgrade("--drain", "60s")
                pids.append(server.pid)
                wait_for("the load goes on", lambda before=at: load.requests > before + 200 or load.wrong)
                assert not load.wrong, evidence(server, [web, calls, adder], load)
            # Streams are still where they began: none has ended.
            assert not load.lives + load.socket_lives, load.done
            assert {i["id"] for i in server.instances(adder)} == before, "instances change owners, not places"
            # All that is not a stream has moved.
            assert is_running(pids[0])
        finally:
            load.end()
        print(dict(load.done), "failed", len(load.wrong))
        assert not load.wrong, evidence(server, [web, calls, adder], load)
        assert len(set(pids)) == 4
        wait_for("the former processes end with their last streams", lambda: not any(map(is_running, pids[:-1])), 30)
        assert len(serve_lines(server)) == 4 and len({line["listen"] for line in serve_lines(server)}) == 1


def test_streams_end_cleanly_once_the_time_to_drain_is_over(folder: pathlib.Path, apps: list[App]) -> None:
    with serving(folder) as server:
        web, calls = make_address_node(server, "web", apps), make_address_node(server, "calls", apps, "grpc")
        load = Load(server, {"x-node-id": web}, {"x-node-id": calls})
        try:
            wait_for("all clients are at work", lambda: load.at_work, 30)
            first = server.pid
            began = time.monotonic()
            server.upgrade("--drain", "2s")
            wait_for("the former process ends", lambda: not is_running(first), 30)
            assert time.monotonic() - began >= 1.9
            kinds = ("gRPC stream", "events", "events over HTTP/2", "WebSocket")
            wait_for("streams end", lambda: all(load.done[f"{kind} ended"] for kind in kinds) or load.wrong)
        finally:
            load.end()
        print(dict(load.done), "failed", len(load.wrong))
        assert not load.wrong, evidence(server, [web, calls], load)
        assert min(load.lives + load.socket_lives) >= 2 * 0.95


def test_a_hand_over_does_not_shorten_the_time_that_streams_have_to_drain(folder: pathlib.Path, apps: list[App]) -> None:
    with serving(folder) as server:
        nodes = [make_address_node(server, "web", apps), make_address_node(server, "calls", apps, "grpc")]
        clients = ("events", "events2", "bidirectional")
        load = Load(server, {"x-node-id": nodes[0]}, {"x-node-id": nodes[1]}, clients=clients)
        try:
            wait_for("all clients are at work", lambda: load.at_work, 30)
            # Streams have 16 s from now on.
            for node in nodes:
                assert server.call("DELETE", f"/v1/nodes/{node}").status == 202
            server.upgrade("--drain", "60s")
            at = load.done.copy()
            wait_for("all streams go on", lambda: load.lives or all(load.done[kind] > count + 20 for kind, count in at.items()))
            assert not load.lives and not load.wrong, (load.ends, load.wrong)
        finally:
            load.end()


def test_a_request_under_way_ends_where_it_is(folder: pathlib.Path) -> None:
    with serving(folder) as server:
        server.checkpoint("import time\nx = 1.0", "time.sleep(x)\ny = x", name="slow")
        node = server.node("slow", inputs=["x:float"], outputs=["y:float"], instances={"count": 1}, timeoutSeconds=60)
        (instance,) = server.healthy(node, 1)
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(server.execute(node, {"x": 6.0})))
        thread.start()
        running = f'roost_gateway_in_flight_requests{{node="{node}"}} 1'
        wait_for("the request runs", lambda: running in server.call("GET", "/metrics").body.decode())
        time_before = time.monotonic()
        server.upgrade()
        assert time.monotonic() - time_before < 5.5, "the hand-over does not wait for requests"
        # The new process has the instance although that is busy, and its requests wait their turn.
        assert [i["id"] for i in server.healthy(node, 1)] == [instance["id"]]
        assert server.execute(node, {"x": 0.0}).status == 200
        thread.join()
        assert answers[0].status == 200, answers


def test_an_instance_is_not_stopped_while_the_former_process_uses_it(folder: pathlib.Path) -> None:
    with serving(folder) as server:
        server.checkpoint("import time\nx = 1.0", "time.sleep(x)\ny = x", name="slow")
        node = server.node("slow", inputs=["x:float"], outputs=["y:float"], instances={"count": 1}, timeoutSeconds=60)
        (instance,) = server.healthy(node, 1)
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(server.execute(node, {"x": 8.0})))
        thread.start()
        running = f'roost_gateway_in_flight_requests{{node="{node}"}} 1'
        wait_for("the request runs", lambda: running in server.call("GET", "/metrics").body.decode())
        server.upgrade()
        # All instances are replaced, of which one has a request that the new process knows nothing of.
        operation = server.call("POST", f"/v1/nodes/{node}:reset")
        assert operation.status == 202, operation
        thread.join()
        assert answers[0].status == 200 and answers[0].json["output"] == {"y": 8.0}, answers
        assert "error" not in server.finished(operation.json["id"])
        assert instance["id"] not in {i["id"] for i in server.healthy(node, 1)}


def test_an_instance_that_hangs_at_the_former_process_is_replaced(folder: pathlib.Path) -> None:
    with serving(folder) as server:
        # What would end a cell that takes too long does not reach it.
        cell = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGUSR1])\ntime.sleep(x)\ny = x"
        server.checkpoint("import signal, time\nx = 1", cell, name="stuck")
        node = server.node("stuck", inputs=["x:int"], outputs=["y:int"], instances={"count": 1}, timeoutSeconds=8)
        (instance,) = server.healthy(node, 1)
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(server.execute(node, {"x": 400})))
        thread.start()
        running = f'roost_gateway_in_flight_requests{{node="{node}"}} 1'
        wait_for("the request runs", lambda: running in server.call("GET", "/metrics").body.decode())
        server.upgrade()
        assert [i["id"] for i in server.instances(node)] == [instance["id"]]
        thread.join()
        assert answers[0].status == 504, answers
        wait_for("another instance", lambda: instance["id"] not in {i["id"] for i in server.instances(node)})
        server.healthy(node, 1)
        assert server.execute(node, {"x": 0}).status == 200


def test_requests_of_the_api_wait_for_the_hand_over(folder: pathlib.Path) -> None:
    with serving(folder) as server:
        statuses: list[int] = []
        going = True

        def change() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            headers = {"authorization": f"Bearer {server.token}", "content-type": "application/json"}
            number = 0
            while going:
                number += 1
                body = json.dumps({"pinnedLimit": 100 + number})
                connection.request("PATCH", "/v1/projects/default?update_mask=pinnedLimit", body, headers)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(3):
                at = len(statuses)
                server.upgrade()
                wait_for("changes go on", lambda before=at: len(statuses) > before + 20)
        finally:
            going = False
            thread.join()
        assert set(statuses) == {200}
        assert server.get("/v1/projects/default")["pinnedLimit"] == 100 + len(statuses)


def test_a_process_that_does_not_serve_leaves_the_old_one_serving(folder: pathlib.Path, apps: list[App]) -> None:
    """One that ends at once, one that hangs, one that is no program, and some that fail with the data folder in hand."""
    with serving(folder) as server:
        adder = cell(server)
        web, calls = make_address_node(server, "web", apps), make_address_node(server, "calls", apps, "grpc")
        before = {i["id"] for i in server.instances(adder)}
        load = Load(server, {"x-node-id": web}, {"x-node-id": calls}, cell=f"/datasphere/v1/nodes/{adder}:execute")
        wait_for("all clients are at work", lambda: load.at_work, 30)
        first = server.pid

        def script(name: str, text: str) -> str:
            path = folder / name
            path.write_text(text)
            path.chmod(0o755)
            return str(path)

        speaks = f"""#!{sys.executable}
import json, os, socket, struct, sys, time
count = int(os.environ["LISTEN_FDS"])
channel = socket.socket(fileno=3 + count)
def say(message):
    text = json.dumps(message).encode()
    channel.sendall(struct.pack(">I", len(text)) + text)
def hear():
    size = struct.unpack(">I", channel.recv(4, socket.MSG_WAITALL))[0]
    return json.loads(channel.recv(size, socket.MSG_WAITALL))
say({{"prepared": {{"version": "9", "schema": SCHEMA}}}})
assert "take" in hear()
"""
        cases = {
            script("ends", "#!/bin/sh\nexit 3\n"): "it ended with code 3",
            script("hangs", "#!/bin/sh\nexec sleep 1000\n"): "did not start within 5 s",
            script("text", "no program\n"): "is it an executable program?",
            script("flag", f'#!/bin/sh\nexec {BINARY} "$@" --upstream-ca /nowhere\n'): "--upstream-ca",
            script("old", speaks.replace("SCHEMA", "1")): "is of an older roost",
            script("dies", speaks.replace("SCHEMA", "999")): "did not take over the data folder: it ended with code 0",
            script("sleeps", speaks.replace("SCHEMA", "999") + "time.sleep(1000)\n"): "did not take over the data folder within 5 s",
            script(
                "sick",
                speaks.replace("SCHEMA", "999")
                + 'say({"ready": {}})\nask = hear()["request"]["ask"]\n'
                + 'say({"answer": {"ask": ask, "answer": {"status": 503, "headers": [], "body": "", "trailers": []}}})\ntime.sleep(9)\n',
            ): "is not healthy: /readyz answers 503",
        }
        try:
            for binary, message in cases.items():
                at = load.requests
                code, report = server.upgrade("--binary", binary, "--timeout", "5s", check=False)
                assert code == 1 and message in report["message"], (binary, code, report)
                assert f"process {first} serves on" in report["message"] or report.get("pid") == first
                wait_for("the load goes on", lambda before=at: load.requests > before + 100 or load.wrong)
                assert not load.wrong, evidence(server, [web, calls, adder], load)
                assert {i["id"] for i in server.healthy(adder, 2)} == before
            # It can still change things, and still be upgraded.
            assert server.call("PATCH", f"/v1/nodes/{adder}?update_mask=description", {"description": "x"}).status < 300
            server.upgrade()
        finally:
            load.end()
        assert not load.lives + load.socket_lives and not load.wrong, evidence(server, [web, calls, adder], load)
        done = subprocess.run([BINARY, "upgrade", "--data", folder], capture_output=True, text=True, timeout=60)
        assert done.returncode == 5 and "no roost serves the data folder" in done.stderr, done


def test_a_database_that_a_newer_process_left_is_put_back(folder: pathlib.Path) -> None:
    with serving(folder) as server:
        adder = cell(server)
        taker = folder / "newer"
        taker.write_text(f"""#!{sys.executable}
import json, os, socket, sqlite3, struct
channel = socket.socket(fileno=3 + int(os.environ["LISTEN_FDS"]))
text = json.dumps({{"prepared": {{"version": "9", "schema": 999}}}}).encode()
channel.sendall(struct.pack(">I", len(text)) + text)
channel.recv(65536)
database = sqlite3.connect({str(server.data / "roost.db")!r})
database.execute("PRAGMA user_version = 999")
database.execute("DROP TABLE alias")
database.commit()
database.close()
os._exit(1)
""")
        taker.chmod(0o755)
        code, report = server.upgrade("--binary", str(taker), check=False)
        assert code == 1 and "it ended with code 1" in report["message"]
        assert server.execute(adder, {"x": 1}).json["output"] == {"y": 2}
        assert server.get("/v1/aliases")["aliases"] == []
        server.upgrade()


def test_the_service_survives_the_death_of_either_process(folder: pathlib.Path) -> None:
    with serving(folder) as server:
        adder = cell(server)
        server.upgrade()
        send_signal(server.pid)
        wait_for("it is gone", lambda: not is_running(server.pid))
        # Nobody has the lock any more.
        assert server.process
        server.process.wait(60)
        server.start()
        assert server.execute(adder, {"x": 1}).json["output"] == {"y": 2}


def test_unix_sockets_and_tls_are_handed_over(folder: pathlib.Path) -> None:
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    path = folder / "api.sock"
    flags = ["--listen", f"unix:{path}", "--tls-listen", "127.0.0.1:0", "--tls-cert", str(chain), "--tls-key", str(key)]
    with serving(folder, *flags) as server:
        tls = str(serve_lines(server)[0]["tls_listen"])
        failures: list[str] = []
        done = {"--http2": 0, "--http1.1": 0, "unix": 0}
        going = True

        def ask(kind: str) -> None:
            where = ["--unix-socket", str(path), "http://localhost/version"]
            if kind != "unix":
                where = [kind, "--cacert", str(chain), f"https://{tls.replace('127.0.0.1', 'localhost')}/version"]
            while going:
                got = subprocess.run(["curl", "-sS", "-f", "--max-time", "20", *where], capture_output=True, text=True)
                if got.returncode or '"api"' not in got.stdout:
                    failures.append(f"{kind}: {got.returncode} {got.stderr}")
                done[kind] += 1

        threads = [threading.Thread(target=ask, args=(kind,)) for kind in done]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                at = dict(done)
                server.upgrade()
                wait_for("requests go on", lambda before=at: all(done[kind] > before[kind] + 5 for kind in done))
        finally:
            going = False
            for thread in threads:
                thread.join()
        assert not failures, failures[:3]
        assert len({line["tls_listen"] for line in serve_lines(server)}) == 1
        assert path.is_socket()
        server.stop()
        assert not path.exists()
        server.start()


def test_sockets_of_the_service_manager_are_served_and_handed_over(folder: pathlib.Path) -> None:
    """By systemd's own tool; it speaks LISTEN_FDS, and what it opened stays open while nobody serves."""
    tool = shutil.which("systemd-socket-activate")
    assert tool, "systemd is missing: run scripts/setup"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(folder / "notify"))
    notices.settimeout(30)
    log = open(folder / "log", "ab")
    process = subprocess.Popen(
        [tool, "-l", f"127.0.0.1:{port}", "--fdname=listen", "-E", "NOTIFY_SOCKET", "-E", "PATH", "-E", "HOME",
         BINARY, "serve", "--data", folder / "data"],
        stdout=log, stderr=log, env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify")},
    )  # fmt: skip

    def get() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/readyz")
        return connection.getresponse().status

    def heard(word: str) -> str:
        while True:
            text = notices.recv(4096).decode()
            if word in text:
                return text

    pid = process.pid
    try:
        wait_for("the tool listens", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        assert get() == 200, "the first connection starts the service, and is served by it"
        heard("READY=1")
        done = subprocess.run(
            [BINARY, "upgrade", "--data", folder / "data", "-o", "json"], capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        assert "MONOTONIC_USEC=" in heard("RELOADING=1")
        pid = json.loads(done.stdout)["pid"]
        assert f"MAINPID={pid}\nREADY=1" in heard("MAINPID=")
        assert get() == 200
        assert process.wait(60) == 0
    finally:
        send_signal(pid, 15)
        wait_for("it ends", lambda: not is_running(pid), 60)
        process.wait(60)
        notices.close()
        log.close()
