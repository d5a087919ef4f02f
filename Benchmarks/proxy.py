"""The gateway as a proxy against nginx, HAProxy and Envoy: processor time per request, side by side in one run.

    .venv/bin/python Benchmarks/proxy.py [--seconds 1] [--rounds 9] [--only small large h2 grpc tls one idle]

Every proxy runs one worker on the first core and stands before the same nginx; the load generator (wrk or h2load) and
the upstream have the second core. The proxies take turns within a round; the table shows medians over the rounds, and ratios are medians of the rounds' ratios.
Roost checks the token and the ACL, finds the node in its routing table, keeps metrics and timers and writes its access log; the others write an
access log and set the same headers, without any access control. With one core for upstream and load, requests/s show
that core's limit as often as the proxy's: processor time per request is the figure to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from common import (
    BINARY,
    BenchmarkError,
    Roost,
    bar,
    cpu_seconds,
    kilobytes,
    machine,
    median,
    pinned,
    run,
    table,
    wrk,
)  # fmt: skip
from proxies.peers import Envoy, GRPCUpstream, HAProxy, Nginx, Upstream, free_port, program

PARTS = ("small", "large", "one", "h2", "direct", "grpc", "tls", "idle")
USUAL = [
    "user-agent",
    "bench/1.0",
    "accept",
    "*/*",
    "accept-language",
    "en-US,en;q=0.9",
    "x-session",
    "0123456789abcdef",
]
Figures = dict[str, float]


class Target:
    """One proxy under one load."""

    def __init__(self, name: str, url: str, headers: list[str], pids: Callable[[], set[int]]) -> None:
        self.name = name
        self.url = url
        self.headers = headers
        self.pids = pids

    def wrk(self, connections: int, seconds: float, core: int) -> Figures:
        """Keep-alive HTTP/1.1, over TLS when the URL says so."""
        arguments = [*USUAL, *self.headers]
        return wrk(self.name, self.url, arguments, self.pids(), connections, seconds, core, "get.lua")

    def h2load(
        self, requests: int, core: int, streams: int, body: pathlib.Path | None, connections: int = 16
    ) -> Figures:
        """HTTP/2 with prior knowledge: connections with some streams each; with a body: POST as gRPC does."""
        command = [program("h2load", "nghttp2-client"), f"-c{connections}", f"-m{streams}", f"-n{requests}"]
        pairs = USUAL + self.headers
        if body is not None:
            command += ["-d", str(body)]
            pairs = [*pairs, "content-type", "application/grpc", "te", "trailers"]
        for at in range(0, len(pairs), 2):
            command += ["-H", f"{pairs[at]}: {pairs[at + 1]}"]
        before = cpu_seconds(self.pids())
        ran = subprocess.run(pinned([*command, self.url], core), capture_output=True, text=True, timeout=120)
        spent = cpu_seconds(self.pids()) - before
        rate = re.search(r"finished in [^,]+, ([\d.]+) req/s", ran.stdout)
        good = re.search(r"status codes: (\d+) 2xx", ran.stdout)
        times = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", ran.stdout)
        if rate is None or good is None or int(good.group(1)) != requests:
            raise BenchmarkError(f"{self.name}: h2load: {ran.stdout[-1500:]}{ran.stderr[-500:]}")
        return {
            "rate": float(rate.group(1)),
            "p50": micro(times.group(1)) if times else 0,
            "p99": 0,
            "cpu": spent / requests * 1e6,
        }


def micro(text: str) -> float:
    """h2load's times (`1.23ms`) in microseconds."""
    found = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    return 0.0 if found is None else float(found.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[found.group(2)]


def compare(
    title: str, targets: Sequence[Target], rounds: int, measure: Callable[[Target], Figures]
) -> dict[str, Figures]:
    """All targets in turns; prints the table. Of the others, `of-cpu` and `of-p99` are Roost's figures of theirs: medians of the
    rounds' ratios, each of two runs some seconds apart, so that the machine's weather is out of it."""
    for target in targets:
        measure(target)  # warm
    taken: dict[str, list[Figures]] = {target.name: [] for target in targets}
    for at in range(rounds):
        for target in targets if at % 2 == 0 else reversed(targets):
            taken[target.name].append(measure(target))
    results = {name: {key: median(one[key] for one in runs) for key in runs[0]} for name, runs in taken.items()}
    for name, runs in taken.items():
        for key in ("cpu", "p99"):
            pairs = zip(taken["roost"], runs)
            results[name][f"of-{key}"] = median(ours[key] / theirs[key] if theirs[key] else 0 for ours, theirs in pairs)
    table(
        f"{title}; {rounds} rounds",
        ["", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "Roost's CPU of it"],
        [
            [
                name, f"{one['rate']:.0f}", f"{one['p50']:.0f}", f"{one['p99']:.0f}" if one["p99"] else "-", f"{one['cpu']:.2f}",
                "" if name == "roost" else f"{one['of-cpu']:.2f}",
            ]
            for name, one in results.items()
        ],
    )  # fmt: skip
    return results


class Bench:
    """The proxies, ready."""

    def __init__(self, options: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchmarkError("two cores are needed: one for the proxy, one for upstream and load")
        self.options = options
        self.proxy_core, self.other_core = cores[0], cores[1]
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-bench-")))
        self.certificate = self.make_certificate()
        self.upstream = stack.enter_context(Upstream(self.folder, self.other_core))
        self.grpc = None
        if "grpc" in options.only:
            self.grpc = stack.enter_context(GRPCUpstream(self.folder, self.other_core))
        grpc_port = self.grpc.ports["http"] if self.grpc else None
        chain, key = self.certificate
        flags = ["--loops", "1"]
        self.tls_port = free_port()
        if "tls" in options.only:
            flags += ["--tls-listen", f"127.0.0.1:{self.tls_port}", "--tls-cert", str(chain), "--tls-key", str(key)]
        self.roost = stack.enter_context(Roost(*flags, core=self.proxy_core))
        self.node = self.make_node("plain", "http", self.upstream.ports["http"])
        self.grpc_node = "" if grpc_port is None else self.make_node("grpc", "grpc", grpc_port)
        port = self.upstream.ports["http"]
        self.nginx = stack.enter_context(Nginx(self.folder, self.proxy_core, port, grpc_port, self.certificate))
        self.haproxy = stack.enter_context(HAProxy(self.folder, self.proxy_core, port, self.certificate))
        self.envoy = stack.enter_context(Envoy(self.folder, self.proxy_core, port, grpc_port))

    def make_certificate(self) -> tuple[pathlib.Path, pathlib.Path]:
        """A self-signed RSA-2048 certificate for all who serve TLS."""
        chain, key = self.folder / "chain.pem", self.folder / "key.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(chain),
                "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        return chain, key

    def make_node(self, name: str, endpoint: str, port: int) -> str:
        """An address node before the upstream."""
        command = [
            str(BINARY), "node", "create", name, "--address", f"127.0.0.1:{port}", "--endpoint", endpoint, "--wait",
        ]  # fmt: skip
        ran = subprocess.run(command, env=self.roost.environment, capture_output=True, text=True, timeout=60)
        if ran.returncode:
            raise BenchmarkError(f"node create: {ran.stdout}{ran.stderr}")
        nodes: list[dict[str, Any]] = self.roost.get("/v1/nodes")["nodes"]
        return str(next(node["id"] for node in nodes if node["name"] == name))

    def routed(self, node: str) -> list[str]:
        """What a caller of Roost sends."""
        return ["authorization", f"Bearer {self.roost.token}", "x-node-id", node, "x-folder-id", self.roost.folder_id]

    def targets(self, path: str, kind: str = "http", names: Sequence[str] = ()) -> list[Target]:
        """Roost and the others that speak `kind`, at one path."""
        scheme = "https" if kind == "tls" else "http"
        # The same headers for all: the others pass on what Roost checks.
        headers = self.routed(self.grpc_node if path.startswith("/bench.Echo/") else self.node)
        port = self.tls_port if kind == "tls" else self.roost.port
        found = [Target("roost", f"{scheme}://127.0.0.1:{port}{path}", headers, lambda: {self.roost.pid})]
        for peer in (self.nginx, self.haproxy, self.envoy):
            peer_port = peer.ports.get(kind, peer.ports["http"] if kind == "h2c" and peer is self.envoy else 0)
            if peer_port and (not names or peer.name in names):
                found.append(
                    Target(peer.name, f"{scheme}://127.0.0.1:{peer_port}{path}", headers, lambda p=peer: p.pids)
                )
        return found

    # MARK: parts

    def wrk(self, connections: int) -> Callable[[Target], Figures]:
        """A measurement with wrk."""
        return lambda target: target.wrk(connections, self.options.seconds, self.other_core)

    def h2load(self, requests: int, streams: int, body: pathlib.Path | None = None) -> Callable[[Target], Figures]:
        """A measurement with h2load."""
        return lambda target: target.h2load(requests, self.other_core, streams, body)

    def small(self) -> None:
        """13 bytes, 64 connections."""
        found = compare("Proxy, 13 bytes, 64 connections", self.targets("/small"), self.options.rounds, self.wrk(64))
        bar("proxy 13 bytes, CPU of nginx's", found["nginx"]["of-cpu"], 1.0, "x")
        bar("proxy 13 bytes, CPU of Envoy's", found["envoy"]["of-cpu"], 0.5, "x")
        bar("proxy 13 bytes, p99 of nginx's", found["nginx"]["of-p99"], 1.0, "x")

    def large(self) -> None:
        """16 KiB, 64 connections."""
        found = compare("Proxy, 16 KiB, 64 connections", self.targets("/large"), self.options.rounds, self.wrk(64))
        bar("proxy 16 KiB, CPU of nginx's", found["nginx"]["of-cpu"], 0.8, "x")

    def one(self) -> None:
        """What a proxy adds at one connection."""
        direct = Target("none", f"http://127.0.0.1:{self.upstream.ports['http']}/small", [], lambda: set())
        alone = median(self.wrk(1)(direct)["p50"] for _ in range(self.options.rounds))
        found = compare("Proxy, 13 bytes, 1 connection", self.targets("/small"), self.options.rounds, self.wrk(1))
        added = ", ".join(f"{name} {one['p50'] - alone:.0f} µs" for name, one in found.items())
        print(f"Without a proxy p50 is {alone:.0f} µs; added: {added}.")

    def h2(self) -> None:
        """HTTP/2 in front, HTTP/1.1 behind."""
        targets = self.targets("/small", "h2c")
        for streams in (32, 4, 1):
            title = f"Proxy, HTTP/2 to HTTP/1.1, 13 bytes, 16 connections, streams of each: {streams}"
            found = compare(title, targets, self.options.rounds, self.h2load(60000, streams))
            if streams > 1:
                bar(f"h2c to HTTP/1.1, {streams} streams, CPU of nginx's", found["nginx"]["of-cpu"], 0.5, "x")

    def direct(self) -> None:
        """HTTP/2 answers that the server makes itself."""
        targets = self.targets("/direct", "h2c")
        targets[0].url = targets[0].url.replace("/direct", "/livez")
        targets[0].headers = []  # with the headers of a node the request would be passed on to it
        found = compare(
            "Direct answers over HTTP/2, 16 connections of 32 streams",
            targets,
            self.options.rounds,
            self.h2load(200000, 32),
        )
        bar("h2c direct answers, CPU of nginx's", found["nginx"]["of-cpu"], 0.5, "x")

    def grpc_unary(self) -> None:
        """gRPC unary calls."""
        message = self.folder / "message"
        message.write_bytes(b"\0\0\0\0\x0d" + b"Hello, World!")
        found = compare(
            "gRPC unary, 13 bytes, 16 connections of 4 streams", self.targets("/bench.Echo/Say", "h2c"),
            self.options.rounds, self.h2load(60000, 4, message),
        )  # fmt: skip
        bar("gRPC unary, CPU of Envoy's", found["envoy"]["of-cpu"], 0.5, "x")

    def tls(self) -> None:
        """TLS, keep-alive."""
        found = compare(
            "Proxy over TLS, 13 bytes, 64 connections", self.targets("/small", "tls"), self.options.rounds, self.wrk(64)
        )
        bar("TLS keep-alive, CPU of nginx's", found["nginx"]["of-cpu"], 1.1, "x")

    def idle(self) -> None:
        """Memory of connections that wait."""
        count = 10_000
        wait = kilobytes(self.roost.pid, "smaps_rollup", "Pss")
        request = "\r\n".join([
            "GET /small HTTP/1.1", "host: bench",
            *(f"{name}: {value}" for name, value in zip(*[iter(self.routed(self.node))] * 2)), "", "",
        ]).encode()  # fmt: skip
        sockets: list[socket.socket] = []
        try:
            for _ in range(count):
                one = socket.create_connection(("127.0.0.1", self.roost.port))
                one.sendall(request)
                if b" 200 " not in one.recv(65536)[:40]:
                    raise BenchmarkError("an idle connection's first request failed")
                sockets.append(one)
            grown = kilobytes(self.roost.pid, "smaps_rollup", "Pss") - wait
        finally:
            for one in sockets:
                one.close()
        print(f"\n{count} idle keep-alive connections, each used once: {grown / 1024:.1f} MiB more in the process")
        bar("idle connection beyond the kernel's memory", grown / count, 2.0, " KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description="the gateway as a proxy against nginx, HAProxy and Envoy")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (19000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print(machine())
    with contextlib.ExitStack() as stack:
        bench = Bench(options, stack)
        for part in options.only:
            (bench.grpc_unary if part == "grpc" else getattr(bench, part))()


if __name__ == "__main__":
    run(main, keeps_awake=True)
