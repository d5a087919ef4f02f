"""Where the server listens: unix sockets, the PROXY protocol behind HAProxy, certificates by host name."""

from __future__ import annotations

import http.server
import json
import pathlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import BINARY, Roost, wait_for

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


@pytest.fixture
def mirror() -> Iterator[int]:
    """The port of a server that answers with the headers that it got, as JSON."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def places(server: Roost, field: str = "listen") -> list[str]:
    """Where the log says that the server listens."""
    line = [line for line in server.log.read_text().splitlines() if '"roost serves"' in line][-1]
    return str(json.loads(line)[field]).split(",")


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "10", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


def address_node(server: Roost, port: int) -> str:
    """A node of one address, in rotation."""
    body = {"name": "mirror", "kind": "address", "addresses": [{"address": f"127.0.0.1:{port}"}]}
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    assert "error" not in server.finished(answer.json["id"])
    return str(answer.json["resourceId"])


def test_a_unix_socket_is_served_beside_tcp_outlives_a_crash_and_goes_with_the_server(
    tmp_path: pathlib.Path, make_server: Callable[..., Roost]
) -> None:
    path = tmp_path / "api.sock"
    server = make_server("--listen", f"unix:{path}", "--socket-mode", "600", "--listen", "127.0.0.1:0")
    assert len(places(server)) == 3 and path.stat().st_mode & 0o777 == 0o600
    assert "api" in json.loads(curl("--unix-socket", str(path), "http://roost/version"))
    assert "api" in json.loads(curl(f"http://{places(server)[2]}/version"))
    server.kill()
    assert path.exists()
    server.port = 0
    server.start()
    assert "api" in json.loads(curl("--unix-socket", str(path), "http://roost/version"))
    assert server.stop() == 0
    assert not path.exists()
    server.start()


def test_behind_haproxy_the_callers_address_is_known(
    tmp_path: pathlib.Path, make_server: Callable[..., Roost], mirror: int, free_port: int
) -> None:
    server = make_server("--listen", "127.0.0.2:0", "--proxy-protocol", "127.0.0.2:0=127.0.0.0/8")
    node = address_node(server, mirror)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
        f"frontend in\n bind 127.0.0.1:{free_port}\n default_backend out\n"
        f"backend out\n server roost {places(server)[1]} send-proxy-v2 check check-send-proxy inter 100ms\n"
    )
    haproxy = subprocess.Popen([HAPROXY, "-db", "-f", str(configuration)], stderr=subprocess.DEVNULL)
    try:

        def connects() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", free_port)) == 0

        wait_for("haproxy listens", connects)
        for flag in ("--http1.1", "--http2-prior-knowledge"):
            seen = json.loads(
                curl(
                    flag, "--interface", "127.0.0.9", "-H", f"authorization: Bearer {server.token}", "-H", f"x-node-id: {node}",
                    "-H", f"x-folder-id: {server.folder}", "-H", "x-forwarded-for: 1.2.3.4", "-H", "x-request-id: behind-haproxy",
                    f"http://127.0.0.1:{free_port}/",
                )
            )  # fmt: skip
            assert seen["x-forwarded-for"] == "127.0.0.9"
            assert seen["forwarded"].startswith("for=127.0.0.9;host=")

        def lines() -> list[dict[str, Any]]:
            text = (server.data / "logs" / "access.jsonl").read_text()
            return [line for line in map(json.loads, text.splitlines()) if line["request_id"] == "behind-haproxy"]

        assert {line["peer"] for line in wait_for("the log is written", lambda: len(lines()) == 2 and lines())} == {"127.0.0.9"}
    finally:
        haproxy.terminate()
        haproxy.wait()


def certificate(folder: pathlib.Path, name: str) -> tuple[str, str]:
    """A self-signed certificate for one host."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(chain), str(key)


def test_the_host_name_chooses_the_certificate(tmp_path: pathlib.Path, make_server: Callable[..., Roost]) -> None:
    first, second = certificate(tmp_path, "one.test"), certificate(tmp_path, "two.test")
    server = make_server(
        "--tls-listen", "127.0.0.1:0", "--tls-listen", f"unix:{tmp_path}/tls.sock",
        "--tls-cert", first[0], "--tls-key", first[1], "--tls-cert", second[0], "--tls-key", second[1],
    )  # fmt: skip
    port = places(server, "tls_listen")[0].rpartition(":")[2]
    for name, (chain, _) in (("one.test", first), ("two.test", second)):
        url = f"https://{name}:{port}/version"
        assert "api" in curl("--cacert", chain, "--resolve", f"{name}:{port}:127.0.0.1", url)
        assert "api" in curl("--cacert", chain, "--unix-socket", f"{tmp_path}/tls.sock", f"https://{name}/version")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--listen", "unix:relative"], "--listen: the path of 'unix:relative' must begin with /"),
        (["--listen", "nowhere"], "--listen: 'nowhere' is not HOST:PORT"),
        (["--proxy-protocol", "1.2.3.4:5=10.0.0.0/8"], "--proxy-protocol: '1.2.3.4:5' is none of the listeners"),
        (["--trusted-proxies", "10.0.0.1/8"], "--trusted-proxies: '10.0.0.1/8' is no range of addresses"),
        (["--socket-mode", "999"], "--socket-mode: '999' is not 000 to 777"),
        (["--tls-listen", "127.0.0.1:0", "--tls-cert", "a", "--tls-cert", "b", "--tls-key", "c"], "2 certificates and 1 keys"),
    ],
)
def test_bad_flags_are_refused_by_name(tmp_path: pathlib.Path, flags: list[str], message: str) -> None:
    command = [BINARY, "serve", "--data", tmp_path / "d", *flags]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
