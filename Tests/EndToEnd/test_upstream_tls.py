"""Address nodes behind TLS: nginx, Python and grpcio with certificates of an authority of our own."""

from __future__ import annotations

import hashlib
import http.server
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from conftest import Roost, wait_for
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from websockets.sync.client import connect
from websockets.sync.server import serve

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
QUICK = {"timeoutSeconds": 2, "intervalSeconds": 0.2, "failsThreshold": 2, "passesThreshold": 1}


def openssl(*arguments: str | os.PathLike[str]) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Signs certificates."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.file = folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", self.file,
                "-days", "2", "-subj", "/CN=our authority")  # fmt: skip

    def sign(self, names: str) -> tuple[pathlib.Path, pathlib.Path]:
        stem = self.folder / hashlib.sha256(names.encode()).hexdigest()[:8]
        request, chain, key, extra = (stem.with_suffix(s) for s in (".csr", ".pem", ".key", ".ext"))
        extra.write_text(f"subjectAltName={names}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=server")
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                "-out", chain, "-days", "2", "-extfile", extra)  # fmt: skip
        return chain, key


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    yield Authority(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def roost(authority: Authority) -> Iterator[Roost]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    server = Roost(folder / "data", "--upstream-ca", str(authority.file)).start()
    yield server
    server.close()
    shutil.rmtree(folder)


class Echo:
    """An HTTP/1.1 server that answers with the body it got."""

    def __init__(self, pair: tuple[pathlib.Path, pathlib.Path] | None) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def register(roost: Roost, name: str, address: str, *, wait: bool = True, **more: Any) -> str:
    body = {"name": name, "kind": "address", "addresses": [{"address": address}], **more}
    answer = roost.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    if wait:
        assert "error" not in roost.finished(answer.json["id"])
    return str(answer.json["resourceId"])


def through(roost: Roost, node: str, body: bytes | None = None, path: str = "/") -> bytes:
    headers = {"x-node-id": node, "x-folder-id": roost.folder}
    answer = roost.call("GET" if body is None else "POST", path, raw=body, headers=headers)
    assert answer.status == 200, answer
    return answer.body


@pytest.mark.parametrize("check", [None, {"type": "http", **QUICK}])
def test_bodies_pass_both_ways_over_kept_connections(
    roost: Roost, authority: Authority, check: dict[str, Any] | None
) -> None:
    echo = Echo(authority.sign("DNS:localhost"))
    more = {"healthCheck": check} if check else {}
    node = register(roost, f"echo-{bool(check)}".lower(), f"https://localhost:{echo.port}", **more)
    assert roost.instances(node)[0]["address"] == f"https://localhost:{echo.port}"
    for size in (0, 1, 70_000, 5_000_000):
        body = os.urandom(size)
        assert through(roost, node, body) == body, size
    threads = futures.ThreadPoolExecutor(8)
    bodies = [os.urandom(200_000) for _ in range(40)]
    assert list(threads.map(lambda body: through(roost, node, body), bodies)) == bodies
    echo.close()


@pytest.mark.parametrize("kind", ["http", "http2"])
def test_nginx_is_reached_in_both_versions_by_name_and_by_address(
    roost: Roost, authority: Authority, tmp_path: pathlib.Path, kind: str
) -> None:
    chain, key = authority.sign("DNS:localhost,IP:127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as bound:
        port = bound.server_address[1]
    blob = os.urandom(5_000_000)
    (tmp_path / "blob").write_bytes(blob)
    os.chmod(tmp_path, 0o755)
    temporary = "".join(f"{k}_temp_path {tmp_path}/{k};\n" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"user root;\npid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {chain}; ssl_certificate_key {key}; root {tmp_path};\n"
        'location /seen { return 200 "$server_protocol $ssl_server_name"; } } }\n'
    )
    nginx = subprocess.Popen([NGINX, "-c", str(configuration), "-e", str(tmp_path / "e"), "-g", "daemon off;"])
    try:
        wait_for("nginx has started", (tmp_path / "pid").exists)
        for host, name in (("localhost", "localhost"), ("127.0.0.1", "")):
            check = {"type": "http", "path": "/seen", **QUICK}
            node = register(
                roost, f"nginx-{kind}-{host.replace('.', '')}", f"https://{host}:{port}", endpoint={"type": kind}, healthCheck=check
            )
            version = "HTTP/2.0" if kind == "http2" else "HTTP/1.1"
            assert through(roost, node, path="/seen").decode() == f"{version} {name}"
            assert through(roost, node, path="/blob") == blob
    finally:
        nginx.terminate()
        nginx.wait()


def test_grpc_passes_with_its_health_check(roost: Roost, authority: Authority) -> None:
    chain, key = authority.sign("DNS:localhost")
    server = grpc.server(futures.ThreadPoolExecutor(8))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    echo = grpc.stream_stream_rpc_method_handler(lambda parts, _: (part[::-1] for part in parts))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Both": echo}),))
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    )
    server.start()
    check = {"type": "grpc", **QUICK}
    node = register(roost, "calls", f"https://localhost:{port}", endpoint={"type": "grpc"}, healthCheck=check)
    metadata = [("authorization", f"Bearer {roost.token}"), ("x-node-id", node), ("x-folder-id", roost.folder)]
    with grpc.insecure_channel(f"127.0.0.1:{roost.port}") as channel:
        both = channel.stream_stream("/t.T/Both")
        parts = [os.urandom(100_000) for _ in range(20)]
        assert list(both(iter(parts), metadata=metadata, timeout=30)) == [part[::-1] for part in parts]
    server.stop(None)


def test_websockets_pass(roost: Roost, authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("DNS:localhost"))

    def echo(peer: Any) -> None:
        for message in peer:
            peer.send(message)

    with serve(echo, "127.0.0.1", 0, ssl=context, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        node = register(roost, "sockets", f"https://localhost:{server.socket.getsockname()[1]}")
        headers = {"authorization": f"Bearer {roost.token}", "x-node-id": node, "x-folder-id": roost.folder}
        with connect(f"ws://127.0.0.1:{roost.port}/", additional_headers=headers, max_size=None) as peer:
            for size in (0, 5, 2_000_000):
                peer.send("x" * size)
                assert peer.recv(timeout=20) == "x" * size
        server.shutdown()


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("name", "its certificate is not accepted: hostname mismatch"),
        ("issuer", "its certificate is not accepted: self-signed certificate"),
        ("plaintext", "TLS: "),
        ("no h2", "it does not agree to HTTP/2 (ALPN h2)"),
    ],
)
def test_who_is_not_who_it_should_be_gets_no_requests(
    roost: Roost, authority: Authority, tmp_path: pathlib.Path, case: str, words: str
) -> None:
    if case == "issuer":
        pair: Any = (tmp_path / "own.pem", tmp_path / "own.key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pair[1], "-out", pair[0], "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
    else:
        pair = {"name": authority.sign("DNS:other.test"), "no h2": authority.sign("DNS:localhost"), "plaintext": None}[case]
    echo = Echo(pair)
    more: dict[str, Any] = {"endpoint": {"type": "http2"}} if case == "no h2" else {}
    node = register(roost, case.replace(" ", "-"), f"https://localhost:{echo.port}", wait=False, **more)
    wait_for(
        "the reason is told",
        lambda: words in roost.instances(node)[0].get("lastProbe", {}).get("message", ""),
    )
    answer = roost.call("GET", "/", headers={"x-node-id": node, "x-folder-id": roost.folder})
    assert answer.status in (503, 429), answer
    echo.close()


def test_an_https_address_may_have_no_path(roost: Roost) -> None:
    answer = roost.call(
        "POST", "/v1/nodes", {"name": "bad", "kind": "address", "addresses": [{"address": "https://example.org/api"}]}
    )
    assert answer.status == 400 and b"addresses[0].address: " in answer.body, answer
