"""What Roost adds to containers, and how soon instances are there when they are needed.

    scripts/with-engine .venv/bin/python Benchmarks/containers.py [--rounds 7] [--only start proxy rest restimage step]

start: from the request that creates an image node until its instance is HEALTHY, beside create, start and first answer of the
same container by the engine alone, in turns. proxy: nginx in a container behind the gateway and behind an nginx, in turns.
rest, restimage: a request to a cell or image node that rests, held while an instance starts. step: the rate of requests to a cell node
jumps; the time until as many instances are in rotation as the new rate needs.
`start`, `restimage` and `proxy` need a container engine and its test image: `scripts/with-engine` starts one.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime
import http.client
import json
import math
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from common import ROOT, BenchmarkError, Roost, awake, bar, machine, median, run, table, wait_for
from proxies.peers import Nginx
from proxy import Target

PARTS = ("rest", "step", "start", "restimage", "proxy")
SOCKET = os.environ.get("ROOST_TEST_ENGINE", "")
SLOW = "import time\ntime.sleep(pause)\nout = pause"
NGINX = """
worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log /dev/stderr warn;
events { worker_connections 4000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s; open_file_cache max=10;
  client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
  server { listen 8080 backlog=4096; root /app; }
}
"""


class Engine:
    """The container engine by its own API."""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("engine", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(SOCKET)
        headers = {"content-type": "application/json"}
        connection.request(method, f"/v1.41{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise BenchmarkError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None

    def inspect(self, name: str) -> Any:
        return self.call("GET", f"/containers/{name}/json")


def instant(text: str) -> float:
    """Seconds of a time of an API."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def answers(address: tuple[str, int]) -> bool:
    """Whether `GET /health` is answered well."""
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def gone(roost: Roost, node: str) -> None:
    """Deletes a node and waits until nothing is left of it."""
    roost.done("DELETE", f"/v1/nodes/{node}")
    wait_for("the node is gone", lambda: roost.call("GET", f"/v1/nodes/{node}")[0] == 404)


# MARK: start

CHECK = {"type": "http", "path": "/health", "timeoutSeconds": 2, "intervalSeconds": 0.1, "failsThreshold": 3, "passesThreshold": 1}


def by_roost(roost: Roost) -> tuple[float, float, Any]:
    """Milliseconds from the create request to HEALTHY, those that it waited for its next probe on average, and the container."""
    began = time.time()
    body = {
        "name": "start", "kind": "image", "image": {"reference": "testapp:1", "port": 8080}, "cpus": 1,
        "memoryBytes": 256 << 20, "healthCheck": CHECK,
    }  # fmt: skip
    node = str(roost.done("POST", "/v1/nodes", body)["resourceId"])
    found = roost.healthy(node, 1)[0]
    healthy = instant(found["startedAt"])
    container = Engine().inspect(f"roost-{found['id']}")
    # Probes of an instance that starts come after an eighth of the time that it has taken so far, 25 to 100 ms.
    pause = min(0.1, max(0.025, (healthy - instant(container["State"]["StartedAt"])) / 8))
    gone(roost, node)
    return (healthy - began) * 1000, pause * 500, container


def by_engine(model: Any) -> float:
    """Milliseconds from the making of the same container to its first answer, asked every millisecond."""
    engine, name, network = Engine(), "roost-bench-start", "roost-bench"
    settings, host = model["Config"], dict(model["HostConfig"])
    host["NetworkMode"] = network
    engine.call("POST", "/networks/create", {"Name": network, "Options": {"com.docker.network.bridge.enable_icc": "false"}})
    try:
        began = time.perf_counter()
        body = {"Image": settings["Image"], "Env": settings["Env"], "User": settings["User"], "HostConfig": host}
        engine.call("POST", f"/containers/create?name={name}", body)
        try:
            engine.call("POST", f"/containers/{name}/start")
            address = engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
            wait_for("the container answers", lambda: answers((address, 8080)), pause=0.001)
            return (time.perf_counter() - began) * 1000
        finally:
            engine.call("DELETE", f"/containers/{name}?force=1&v=1")
    finally:
        engine.call("DELETE", f"/networks/{network}")


def start(options: argparse.Namespace) -> None:
    """Create to HEALTHY, beside the engine alone."""
    taken: list[tuple[float, float, float]] = []
    with Roost("--engine", SOCKET) as roost:
        model = by_roost(roost)[2]
        by_engine(model)
        for at in range(options.rounds):
            if at % 2:
                alone = by_engine(model)
                whole, wait, _ = by_roost(roost)
            else:
                whole, wait, _ = by_roost(roost)
                alone = by_engine(model)
            taken.append((whole, wait, alone))
    rows = [
        [name, f"{min(values):.0f}", f"{median(values):.0f}", f"{max(values):.0f}"]
        for name, values in (
            ("Roost: create to HEALTHY", [one[0] for one in taken]),
            ("  without half of the last pause between probes", [one[0] - one[1] for one in taken]),
            ("engine alone: create to first answer", [one[2] for one in taken]),
        )
    ]
    table(f"Container starts, milliseconds; {options.rounds} rounds", ["", "min", "p50", "max"], rows)
    ratio = median((whole - wait) / alone for whole, wait, alone in taken)
    bar("container create to HEALTHY, of the engine's own create to first answer", ratio, 1.3, "x")


# MARK: proxy


def proxy(options: argparse.Namespace) -> None:
    """Requests to a container: through the gateway, and through nginx."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchmarkError("two cores are needed: one for the proxy, one for the container and the load")
    with contextlib.ExitStack() as stack:
        stack.enter_context(awake())
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-bench-")))
        (folder / "app").mkdir()
        (folder / "app" / "nginx.conf").write_text(NGINX)
        (folder / "app" / "small").write_text("Hello, World!")
        built = subprocess.run(
            [
                ROOT / "scripts" / "debian-image", "--tag", "roost-bench-nginx:1", "--app", folder / "app", "--change", "USER 10001:10001",
                "--change", 'CMD ["/usr/sbin/nginx", "-e", "/dev/stderr", "-c", "/app/nginx.conf"]', "nginx-light",
            ],
            env={**os.environ, "DOCKER_HOST": f"unix://{SOCKET}"}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if built.returncode:
            raise BenchmarkError(f"debian-image: {built.stdout}{built.stderr}")
        stack.callback(Engine().call, "DELETE", "/images/roost-bench-nginx:1?force=1")
        roost = stack.enter_context(Roost("--loops", "1", "--engine", SOCKET, core=cores[0]))
        body = {"name": "proxy", "kind": "image", "image": {"reference": "roost-bench-nginx:1", "port": 8080}, "memoryBytes": 256 << 20}
        node = str(roost.done("POST", "/v1/nodes", body)["resourceId"])
        instance = roost.healthy(node, 1)[0]
        Engine().call("POST", f"/containers/roost-{instance['id']}/update", {"CpusetCpus": str(cores[1])})
        certificate = folder / "chain.pem", folder / "key.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", certificate[1], "-out", certificate[0],
                "-days", "2", "-subj", "/CN=localhost",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        nginx = stack.enter_context(Nginx(folder, cores[0], instance["address"], None, certificate))
        headers = ["authorization", f"Bearer {roost.token}", "x-node-id", node, "x-folder-id", roost.folder_id]
        ours = Target("roost", f"http://127.0.0.1:{roost.port}/small", headers, lambda: {roost.pid})
        theirs = Target("nginx", f"http://127.0.0.1:{nginx.ports['http']}/small", headers, lambda: nginx.pids)
        for target in (ours, theirs):
            target.wrk(64, options.seconds, cores[1])
        rounds = []
        for at in range(options.rounds):
            pair = {target.name: target.wrk(64, options.seconds, cores[1]) for target in ((ours, theirs), (theirs, ours))[at % 2]}
            rounds.append((pair["roost"], pair["nginx"]))
    rows = []
    for name, side in (("roost", 0), ("nginx", 1)):
        figures = {key: median(pair[side][key] for pair in rounds) for key in ("rate", "p50", "p99", "cpu")}
        rows.append([name, f"{figures['rate']:.0f}", f"{figures['p50']:.0f}", f"{figures['p99']:.0f}", f"{figures['cpu']:.2f}"])
    table(
        f"nginx in a container, 13 bytes, 64 connections; {options.rounds} rounds of {options.seconds:g} s",
        ["before it", "requests/s", "p50 µs", "p99 µs", "CPU µs/request"], rows,
    )  # fmt: skip
    bar("requests to a container, CPU of nginx's", median(a["cpu"] / b["cpu"] for a, b in rounds), 1.0, "x")


# MARK: rest


def held(roost: Roost, node: str, ask: Callable[[], tuple[int, Any]], count: int) -> list[float]:
    """Milliseconds of requests to a node that rests: each is the first after a rest."""
    taken: list[float] = []
    for _ in range(count):
        wait_for("the node rests", lambda: not roost.get(f"/v1/nodes/{node}/instances")["instances"], pause=0.05)
        # Whoever left has left: its end is not what is measured.
        threading.Event().wait(0.1)
        began = time.perf_counter()
        status, answer = ask()
        taken.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise BenchmarkError(f"a held request: {status} {answer}")
    return taken


def rest(options: argparse.Namespace) -> None:
    """Requests that wait for the first instance."""
    with Roost() as roost:
        checkpoint = roost.checkpoint("adder", "x = 1", "y = x + 1")
        node = roost.node(
            "rest", checkpoint, ["x:int"], ["y:int"], instances={"min": 0, "max": 2}, scaling={"lastLeaveSeconds": 1, "leaveSeconds": 1},
        )  # fmt: skip
        roost.healthy(node, 1)
        folder = roost.folder_id
        taken = sorted(held(roost, node, lambda: roost.execute(node, folder, {"x": 1}), options.wakes))
    p99 = taken[math.ceil(len(taken) * 0.99) - 1]
    table(
        f"A request to a resting node, milliseconds; {options.wakes} rests", ["", "min", "p50", "p99", "max"],
        [["cell node", f"{taken[0]:.0f}", f"{median(taken):.0f}", f"{p99:.0f}", f"{taken[-1]:.0f}"]],
    )  # fmt: skip
    bar("held request of a cell node that rests, p99", p99, 200, " ms")


def restimage(options: argparse.Namespace) -> None:
    """Requests that wait for the first container, beside the engine's own start of the same container."""
    taken: list[tuple[float, float]] = []
    with Roost("--engine", SOCKET) as roost:
        body = {
            "name": "rest-image", "kind": "image", "image": {"reference": "testapp:1", "port": 8080}, "cpus": 1,
            "memoryBytes": 256 << 20, "healthCheck": CHECK, "instances": {"min": 0, "max": 2},
            "scaling": {"lastLeaveSeconds": 3, "leaveSeconds": 1},
        }  # fmt: skip
        node = str(roost.done("POST", "/v1/nodes", body)["resourceId"])

        def ask() -> tuple[int, Any]:
            return roost.call("GET", f"/nodes/{node}/proxy/health")

        held(roost, node, ask, 1)
        model = Engine().inspect(f"roost-{roost.healthy(node, 1)[0]['id']}")
        by_engine(model)
        for _ in range(options.rounds):
            whole = held(roost, node, ask, 1)[0]
            taken.append((whole, by_engine(model)))
    added = [whole - alone for whole, alone in taken]
    rows = [
        [name, f"{min(values):.0f}", f"{median(values):.0f}", f"{max(values):.0f}"]
        for name, values in (
            ("request to a resting container", [one[0] for one in taken]),
            ("engine alone: create to first answer", [one[1] for one in taken]),
            ("added", added),
        )
    ]
    table(f"A request to a resting image node, milliseconds; {options.rounds} rests", ["", "min", "p50", "max"], rows)
    bar("held request of an image node that rests, beyond the container's own start", median(added), 300, " ms")


# MARK: step


class Load:
    """Requests at a rate, whether or not they are answered: what waits is not waited for."""

    def __init__(self, roost: Roost, node: str, pause: float) -> None:
        self.port, self.token, self.node, self.pause = roost.port, roost.token, node, pause
        self.folder = roost.folder_id
        self.rate = 0.0
        self.failed = 0
        self._local = threading.local()
        self._stop = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(64)
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown()

    def _send(self) -> None:
        at = time.perf_counter()
        while not self._stop.is_set():
            if not self.rate:
                at = time.perf_counter()
                self._stop.wait(0.002)
                continue
            self._pool.submit(self._call)
            at += 1 / self.rate
            self._stop.wait(max(0.0, at - time.perf_counter()))

    def _call(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            body = json.dumps({"folder_id": self.folder, "input": {"pause": self.pause}})
            connection.request("POST", f"/datasphere/v1/nodes/{self.node}:execute", body, {"authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            answer.read()
            self.failed += answer.status != 200
        except (OSError, http.client.HTTPException):
            self.failed += 1
            connection.close()


def step(options: argparse.Namespace) -> None:
    """From 10 to 84 requests per second of 50 ms each: from 1 instance (0.5 busy) to 6 (4.2 busy, aim 0.7 each)."""
    pause, before, after, enough = 0.05, 10.0, 84.0, 6
    taken: list[float] = []
    overshoot: list[int] = []
    with Roost() as roost:
        checkpoint = roost.checkpoint("slow", "pause = 0.05", SLOW)
        node = roost.node(
            "step", checkpoint, ["pause:float"], ["out:float"], instances={"min": 1, "max": 20},
            scaling={"leaveSeconds": 1, "stableSeconds": 5},
        )  # fmt: skip
        roost.healthy(node, 1)

        def count() -> int:
            return int(roost.get(f"/v1/nodes/{node}")["status"]["healthyInstances"])

        load = Load(roost, node, pause)
        try:
            for _ in range(options.rounds):
                load.rate = before
                wait_for("the quiet before the step", lambda: count() == 1, 120, 0.1)
                threading.Event().wait(3)
                began = time.perf_counter()
                load.rate = after
                wait_for(f"{enough} instances", lambda: count() >= enough, 60, 0.01)
                taken.append(time.perf_counter() - began)
                threading.Event().wait(3)
                overshoot.append(count())
        finally:
            load.close()
        if load.failed:
            raise BenchmarkError(f"{load.failed} requests failed")
    table(
        f"A step from {before:.0f} to {after:.0f} requests/s of {pause * 1000:.0f} ms; {options.rounds} rounds",
        ["", "min", "p50", "max"],
        [
            [f"seconds to {enough} instances", f"{min(taken):.2f}", f"{median(taken):.2f}", f"{max(taken):.2f}"],
            ["instances 3 s later", f"{min(overshoot)}", f"{median(overshoot):.0f}", f"{max(overshoot)}"],
        ],
    )
    bar("enough instances after a step, longest", max(taken), 2.0, " s")


def main() -> None:
    parser = argparse.ArgumentParser(description="what Roost adds to containers, and how soon instances are there")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--wakes", type=int, default=100)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    print(machine())
    for part in options.only:
        if part in ("start", "restimage", "proxy") and not SOCKET:
            reason = os.environ.get("ROOST_TEST_ENGINE_MISSING") or "run it with scripts/with-engine"
            raise BenchmarkError(f"{part} needs a container engine: {reason}")
        {"rest": rest, "step": step, "start": start, "restimage": restimage, "proxy": proxy}[part](options)


if __name__ == "__main__":
    run(main)
