"""Execute requests: a cell node against the same function in FastAPI under uvicorn, one instance or worker each.

    .venv/bin/python Benchmarks/execute.py [--seconds 1] [--rounds 15] [--connections 1 16 64] [--cells draw randomizer]

Two functions, each the same on both sides: `draw` draws a number and prints it; `randomizer`, the worked example, also
calls `seed()` each time, which reads 2.5 kB from the kernel's generator and takes longer than all the rest of the cell.

The server side (roost, its zygote and instance; uvicorn) has one core, wrk the other. Both sides are measured in turns; the
table shows medians, and a ratio is the median of those of its rounds (each compares two runs a second apart). Processor time is that of all processes of the server side. Roost checks token and ACL, writes the
node's log and the access log, and keeps its metrics; uvicorn writes its access log and the prints to a file.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import socket
import subprocess
import tempfile

from common import (
    PYTHON,
    ROOT,
    BenchmarkError,
    Roost,
    bar,
    cpu_seconds,
    machine,
    median,
    pinned,
    run,
    table,
    wait_for,
    with_ancestors,
    wrk,
)  # fmt: skip

HERE = pathlib.Path(__file__).resolve().parent
NOTEBOOK = ROOT / "examples" / "randomizer" / "randomizer.ipynb"
CELLS = ("draw", "randomizer")
VALUES = {"input_data": {"left_bound": 1, "right_bound": 10}}


OWN_TIME = """
import sys, time
code = compile(sys.argv[1], "cell", "exec")
sys.stdout = open("/dev/null", "w")
names = {"input_data": {"left_bound": 1, "right_bound": 10}}
best = 1.0
for _ in range(5):
    started = time.process_time()
    for _ in range(5000):
        exec(code, names)
    best = min(best, (time.process_time() - started) / 5000)
sys.stderr.write(str(best * 1e6))
"""


def source_of(cell: str) -> str:
    """The last cell of the example; `draw` is the same without the call of `seed()`."""
    source = "".join(json.loads(NOTEBOOK.read_text())["cells"][-1]["source"])
    return source if cell == "randomizer" else source.replace("\nseed()\n", "\n")


def own_time(cell: str, core: int) -> float:
    """Processor microseconds of the cell alone: what no server can save."""
    command = pinned([str(PYTHON), "-c", OWN_TIME, source_of(cell)], core)
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stderr)


class Uvicorn:
    """The hand-written service with one worker; its log goes to a file."""

    def __init__(self, core: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="roost-bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [
            str(PYTHON), "-m", "uvicorn", "fastapi_app:app", "--app-dir", str(HERE), "--host", "127.0.0.1",
            "--port", str(self.port), "--loop", "uvloop", "--http", "httptools", "--workers", "1", "--access-log",
        ]  # fmt: skip
        with open(pathlib.Path(self.folder.name) / "uvicorn.log", "ab") as log:
            self.process = subprocess.Popen(pinned(command, core), stdout=log, stderr=log)

    def __enter__(self) -> Uvicorn:
        def answers() -> bool:
            if self.process.poll() is not None:
                log = pathlib.Path(self.folder.name) / "uvicorn.log"
                raise BenchmarkError(f"uvicorn ended:\n{log.read_text()[-2000:]}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for("uvicorn answers", answers)
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


class Side:
    """One server under load."""

    def __init__(self, name: str, url: str, body: str, token: str | None, pids: set[int]) -> None:
        self.name = name
        self.url = url
        self.arguments = [body] + ([token] if token else [])
        self.pids = pids

    def load(self, connections: int, seconds: float, core: int) -> dict[str, float]:
        return wrk(self.name, self.url, self.arguments, self.pids, connections, seconds, core)


Results = dict[tuple[int, str], dict[str, float]]
"""By connections and side, medians; the side `ratio` has those of the rounds' ratios, uvicorn's figure over Roost's."""


def measure(cell: str, roost: Roost, uvicorn: Uvicorn, options: argparse.Namespace, cores: list[int]) -> None:
    """Both sides in turns with one cell; prints its table and states its bars."""
    checkpoint = roost.checkpoint(cell, "input_data = dict(left_bound=1, right_bound=10)", source_of(cell))
    node = roost.node(
        cell, checkpoint, ["input_data:dict"], ["output_data:dict"], configuration="c1.4",
        instances={"min": 1, "max": 1, "count": 1},
    )  # fmt: skip
    instances = roost.healthy(node, 1)
    folder = roost.folder_id
    status, answer = roost.execute(node, folder, VALUES)
    if status != 200 or set(answer["output"]["output_data"]) != {"generated_value"}:
        raise BenchmarkError(f"roost answered {status} {answer}")
    body = json.dumps({"folder_id": folder, "input": VALUES})
    workers = with_ancestors(int(one["pid"]) for one in instances) - {roost.pid}
    url = "http://127.0.0.1:{}/datasphere/v1/nodes/{}:execute"
    sides = [
        Side("roost", url.format(roost.port, node), body, roost.token, {roost.pid} | workers),
        Side("uvicorn", url.format(uvicorn.port, cell), body, None, {uvicorn.process.pid}),
    ]
    for side in sides:
        side.load(16, 1, cores[1])  # both warm
    gateway, worker = cpu_seconds([roost.pid]), cpu_seconds(workers)
    results: Results = {}
    for connections in options.connections:
        rounds: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
        for _ in range(options.rounds):
            for side in sides:
                rounds[side.name].append(side.load(connections, options.seconds, cores[1]))
        for name, runs in rounds.items():
            results[connections, name] = {key: median(one[key] for one in runs) for key in runs[0]}
        pairs = list(zip(rounds["roost"], rounds["uvicorn"]))
        results[connections, "ratio"] = {
            key: median(theirs[key] / ours[key] for ours, theirs in pairs) for key in pairs[0][0]
        }
    gateway, worker = cpu_seconds([roost.pid]) - gateway, cpu_seconds(workers) - worker
    report(cell, results, options, gateway / (gateway + worker), own_time(cell, cores[0]))
    roost.done("DELETE", f"/v1/nodes/{node}")


def report(
    cell: str, results: Results, options: argparse.Namespace, gateway_share: float, own: float
) -> None:
    """The table and the bars of one cell."""
    rows = []
    for connections in options.connections:
        ours, theirs = results[connections, "roost"], results[connections, "uvicorn"]
        for name, one in (("roost", ours), ("FastAPI + uvicorn", theirs)):
            rows.append([
                f"{connections:>2} connections, {name}", f"{one['rate']:.0f}", f"{one['p50']:.0f}", f"{one['p99']:.0f}",
                f"{one['cpu']:.1f}", "", "",
            ])  # fmt: skip
        ratio = results[connections, "ratio"]
        rows[-2][5:] = [f"{1 / ratio['rate']:.2f}x", f"{ratio['cpu']:.2f}x"]
    table(
        f"Execute, {cell}; {options.rounds} rounds of {options.seconds:g} s each; {machine()}",
        ["", "requests/s", "p50 µs", "p99 µs", "CPU µs/request", "requests/s ratio", "CPU ratio"],
        rows,
    )
    print(
        f"Of roost's processor time the gateway has {gateway_share:.0%}, the worker {1 - gateway_share:.0%}."
    )
    print(
        f"The cell itself takes {own:.1f} µs of both sides. Without it, times less CPU per request:", end=""
    )
    for connections in options.connections:
        ours, theirs = results[connections, "roost"], results[connections, "uvicorn"]
        print(f" {(theirs['cpu'] - own) / (ours['cpu'] - own):.1f}x at {connections}", end="")
    print(".")
    for connections in options.connections:
        ratio = results[connections, "ratio"]
        if connections == 1:
            bar(f"execute {cell}, p50 at 1 connection, of uvicorn's", 1 / ratio["p50"], 0.7, "x")
        else:
            for what, value in (
                ("CPU per request, times less", ratio["cpu"]),
                ("requests/s, times more", 1 / ratio["rate"]),
            ):
                bar(f"execute {cell} at {connections} connections, {what}", value, 8, "x", at_least=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="execute requests against FastAPI and uvicorn")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--cells", choices=CELLS, nargs="+", default=list(CELLS))
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchmarkError("two cores are needed: one for the servers, one for wrk")
    with Roost("--loops", "1", core=cores[0]) as roost, Uvicorn(cores[0]) as uvicorn:
        for cell in options.cells:
            measure(cell, roost, uvicorn, options, cores)


if __name__ == "__main__":
    run(main, keeps_awake=True)
