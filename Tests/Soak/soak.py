"""Hours in minutes: real clients of every kind, bad manners and killed instances, against one server.

    .venv/bin/python Tests/Soak/soak.py [--seconds 600] [--growth 5] [--seed N]

Holds the server to this: no answer is wrong (each carries a value that is checked); a request fails only if it was at a
killed instance, and says so; afterwards nothing is in flight, no connection or descriptor is left; and its memory stays
flat after a warm-up. Ends with 1 and the reasons when one of these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "EndToEnd")]

from clients import CLIENTS, Tally, Target, repeat, texts  # noqa: E402
from conftest import Roost, send_signal, wait_for  # noqa: E402

GRACE = 2.0
"""Seconds after a kill within which a request may still begin and fail: the gateway may not have read the end yet."""


class Instance:
    """A program at a port of its own, started again after each kill."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process = self.start()
        # Until then the port is free, and the next one might get it too.
        wait_for(f"the {kind} at {self.port} listens", self.listens)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / "instances.py"), self.kind, str(self.port)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Soak:
    """One server with three nodes, and all that happens to it."""

    def __init__(self, options: argparse.Namespace, roost: Roost, stack: contextlib.ExitStack) -> None:
        self.options = options
        self.roost = roost
        self.instances = {
            "web": [Instance("web") for _ in range(3)],
            "grpc": [Instance("grpc") for _ in range(2)],
        }
        for one in self.programs:
            stack.callback(one.kill)
        check = {"timeoutSeconds": 5, "intervalSeconds": 0.2, "failsThreshold": 2, "passesThreshold": 1}
        self.nodes = {
            "web": self.register(
                "web", {"endpoint": {"type": "http"}, "healthCheck": {"path": "/up", **check}}
            ),
            "grpc": self.register(
                "grpc", {"endpoint": {"type": "grpc"}, "healthCheck": {"type": "grpc", **check}}
            ),
        }
        roost.checkpoint("x = 1", "import time\ntime.sleep(x % 4 / 1000)\ny = x * 3 + 1", name="soak-cell")
        self.nodes["cell"] = roost.node(
            "soak-cell", inputs=["x:int"], outputs=["y:int"], instances={"count": 2}
        )
        self.folder = roost.folder
        self.numbers = itertools.count(random.randrange(1 << 20))
        self.tallies = {kind: Tally() for kind in CLIENTS}
        self.kills: dict[str, list[tuple[float, float]]] = {kind: [] for kind in self.nodes}
        """When an instance was killed, and when the node was whole again."""
        self.memory: list[tuple[float, int]] = []
        self.token = (0.0, "")

    @property
    def programs(self) -> list[Instance]:
        return [one for some in self.instances.values() for one in some]

    def register(self, name: str, more: dict[str, Any]) -> str:
        body = {
            "name": name,
            "kind": "address",
            "addresses": [{"address": i.address} for i in self.instances[name]],
        }
        answer = self.roost.call("POST", "/v1/nodes", {**body, **more})
        assert answer.status == 202, answer
        node = str(answer.json["resourceId"])
        self.roost.healthy(node, len(self.instances[name]))
        return node

    # MARK: What is read of the server

    def read_token(self) -> str:
        """The operator's token; the server renews it."""
        if time.monotonic() - self.token[0] > 1:
            self.token = (time.monotonic(), self.roost.token)
        return self.token[1]

    def process(self, name: str) -> int:
        """A number out of `/proc/PID/status`."""
        assert self.roost.process
        text = pathlib.Path(f"/proc/{self.roost.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))  # type: ignore[union-attr]

    def descriptors(self) -> int:
        assert self.roost.process
        return len(list(pathlib.Path(f"/proc/{self.roost.process.pid}/fd").iterdir()))

    def gauge(self, name: str) -> int:
        """The sum of a gauge over all nodes."""
        text = self.roost.call("GET", "/metrics").body.decode()
        return sum(
            int(float(line.split()[-1])) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)
        )

    def settled(self, name: str, most: int) -> int:
        """What a gauge says once it is no more than `most`, or after a minute."""
        end = time.monotonic() + 60
        while (value := self.gauge(name)) > most and time.monotonic() < end:
            time.sleep(0.1)
        return value

    # MARK: While it runs

    def fill(self) -> None:
        """Fills the journals of the last 10,000 requests of each loop, whose memory is not growth, with refused requests."""
        command = [
            "h2load",
            "-n60000",
            "-c16",
            "-m16",
            "-H",
            f"x-node-id: {self.nodes['web']}",
            f"{self.roost.url}/",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert " 60000 4xx" in done.stdout, f"{done.stdout}{done.stderr}"

    async def run(self) -> None:
        """Load, kills and samples for the time asked for."""
        began = time.monotonic()
        running = asyncio.Event()
        running.set()
        tasks = []
        for kind, (node, client, count, pause) in CLIENTS.items():
            target = Target(
                self.roost.port, self.read_token, self.folder, self.nodes[node], lambda: next(self.numbers)
            )
            tasks += [
                asyncio.create_task(repeat(client, target, pause, self.tallies[kind], running))
                for _ in range(count)
            ]
        killers = [asyncio.create_task(self.killing(kind, running)) for kind in self.nodes]
        while time.monotonic() - began < self.options.seconds:
            self.memory.append((time.monotonic() - began, self.process("VmRSS")))
            await asyncio.sleep(0.5)
        running.clear()
        await asyncio.gather(*tasks, *killers)

    async def killing(self, node: str, running: asyncio.Event) -> None:
        """Kills an instance of a node, waits until the node is whole again, and so on."""
        while running.is_set():
            await asyncio.sleep(random.uniform(0.5, 1.5) * self.options.calm)
            if not running.is_set():
                return
            some = self.instances.get(node)
            if some is None:
                pid = random.choice(await asyncio.to_thread(self.roost.healthy, self.nodes[node], 2))["pid"]
                at = time.monotonic()
                send_signal(pid)
                await asyncio.to_thread(self.replaced, pid)
            else:
                one = random.choice(some)
                at = time.monotonic()
                one.kill()
                await asyncio.sleep(random.uniform(0, 2))
                one.process = one.start()
            self.kills[node].append((at, 0))
            await asyncio.to_thread(self.whole, node)
            self.kills[node][-1] = (at, time.monotonic())

    def replaced(self, pid: int) -> None:
        wait_for(
            "the instance is replaced",
            lambda: pid not in [i.get("pid") for i in self.roost.instances(self.nodes["cell"])],
        )

    def whole(self, node: str) -> None:
        """Every instance answers its probes, with the newest start."""
        count = len(self.instances[node]) if node in self.instances else 2
        for one in self.instances.get(node, []):
            wait_for(f"{one.address} listens", lambda one=one: self.listens(one))
        self.roost.healthy(self.nodes[node], count)

    @staticmethod
    def listens(one: Instance) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", one.port)) == 0

    # MARK: Afterwards

    def verdict(self, descriptors: int) -> list[str]:
        """What does not hold."""
        found = []
        for kind, tally in self.tallies.items():
            found += [f"{kind}: {count} times: {text}" for text, count in texts(tally)]
            node = CLIENTS[kind][0]
            unexplained = [
                text for began, ended, text in tally.refused if not self.explained(node, began, ended)
            ]
            found += [
                f"{kind}: {len(unexplained)} refusals without a kill, such as: {text}"
                for text in unexplained[:3]
            ]
            if tally.ok + tally.left < 5:
                found.append(f"{kind}: only {tally.ok + tally.left} interactions")
        if not all(self.kills.values()):
            found.append(f"not every node had an instance killed: {self.kills}")
        # A failed call of grpcio and its error hold each other, and with them the call's connection.
        gc.collect()
        if mine := self.open_here():
            found.append(f"the soak's own clients left {mine} connections open")
        # Requests that clients left are at their instances until those answer; of connections, the one that asks is open.
        for name, most in [("in_flight_requests", 0), ("queue_length", 0), ("open_connections", 1)]:
            if (left := self.settled(f"roost_gateway_{name}", most)) > most:
                found.append(f"roost_gateway_{name} is {left} though all clients have gone")
        # Connections to instances are kept: at most 64 to each from each loop, and probes.
        if (now := self.descriptors()) > descriptors + 100:
            found.append(f"{now} descriptors are open, {descriptors} were before the load")
        early, late = self.levels()
        if late > early * (1 + self.options.growth / 100):
            found.append(f"memory grew from {early} kB to {late} kB, more than {self.options.growth:g} %")
        return found

    def open_here(self) -> int:
        """Connections of this process to the server, or how many there still are after ten seconds."""
        end = time.monotonic() + 10
        while (count := len(self.own_sockets())) and time.monotonic() < end:
            time.sleep(0.1)
        return count

    def own_sockets(self) -> list[str]:
        """The sockets of this process whose other end is the server."""
        mine = set()
        for entry in pathlib.Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                mine.add(os.readlink(entry))
        rows = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in pathlib.Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]
        ]
        peer = f":{self.roost.port:04X}"
        return [row[9] for row in rows if row[2].endswith(peer) and f"socket:[{row[9]}]" in mine]

    def explained(self, node: str, began: float, ended: float) -> bool:
        return any(began <= at + GRACE and ended >= at for at, _ in self.kills[node])

    def levels(self) -> tuple[int, int]:
        """The resident memory after the warm-up (a third of the time) and at the end, in kB.

        Each is the lowest of an eighth of the whole time: what is kept, without the answers that wait for slow clients.
        """
        steady = [value for at, value in self.memory if at >= self.options.seconds / 3]
        part = max(1, len(self.memory) // 8)
        return min(steady[:part]), min(steady[-part:])

    def print_table(self) -> None:
        """One line for each kind of client."""
        print(f"{'':10} {'complete':>9} {'left':>6} {'failed':>7} {'wrong':>6} {'p50 ms':>7} {'p99 ms':>8}")
        for kind, tally in self.tallies.items():
            times = sorted(tally.times) or [0]
            p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
            print(
                f"{kind:10} {tally.ok:9} {tally.left:6} {len(tally.refused):7} {len(tally.wrong):6} {p50:7.1f} {p99:8.1f}"
            )
        step = max(1, len(self.memory) // 12)
        print("memory MB:", " ".join(f"{at:.0f}s:{value / 1024:.1f}" for at, value in self.memory[::step]))
        early, late = self.levels()
        killed = ", ".join(f"{len(times)} of {node}" for node, times in self.kills.items())
        print(
            f"memory after warm-up {early / 1024:.1f} MB, at the end {late / 1024:.1f} MB ({late / early - 1:+.1%})"
        )
        print(f"instances killed: {killed}; 'failed' were at one of them")


@contextlib.contextmanager
def server() -> Iterator[Roost]:
    """A server with a folder of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-soak-"))
    # Large buffers go back to the system when they are freed: what stays is what is kept, not what a peak once took.
    os.environ.update(MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="131072")
    roost = Roost(folder / "data")
    try:
        yield roost.start()
    finally:
        roost.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600, help="how long the load lasts")
    parser.add_argument(
        "--growth", type=float, default=5, help="percent that resident memory may grow after the warm-up"
    )
    parser.add_argument("--calm", type=float, default=4, help="seconds between two kills at a node")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 30), help="for the same choices again"
    )
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"soak: {options.seconds:g} s, seed {options.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        roost = stack.enter_context(server())
        soak = Soak(options, roost, stack)
        descriptors = soak.descriptors()
        soak.fill()
        asyncio.run(soak.run())
        soak.print_table()
        problems = soak.verdict(descriptors)
        if problems:
            print("soak: FAILED\n  " + "\n  ".join(problems), file=sys.stderr)
            print(f"the end of the server's log:\n{roost.log.read_text()[-2000:]}", file=sys.stderr)
            return 1
    print("soak: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
