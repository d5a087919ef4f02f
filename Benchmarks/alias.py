"""What an alias costs: requests to an alias with five shares, stickiness and rules against the same to its nodes.

    .venv/bin/python Benchmarks/alias.py [--seconds 1] [--rounds 20]

Five nodes stand before one nginx. On the one side a hundred users call the alias, which finds that none of its three
rules fits and then the share that the user sticks to; on the other they name the node that they would get, in the same
order. The gateway has one core, nginx and wrk the other; both sides take turns, and the ratio is the median of the rounds'.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import subprocess
import tempfile

from common import (
    BINARY,
    BenchmarkError,
    Roost,
    bar,
    machine,
    median,
    run,
    table,
    wrk,
)  # fmt: skip
from proxies.peers import Upstream

WEIGHTS = {"one": 40, "two": 30, "three": 15, "four": 10, "five": 5}
USERS = [f"user-{number:03}" for number in range(100)]
Figures = dict[str, float]


def command(roost: Roost, *words: str) -> None:
    """A command of roost that must work."""
    ran = subprocess.run([str(BINARY), *words], env=roost.environment, capture_output=True, text=True, timeout=60)
    if ran.returncode:
        raise BenchmarkError(f"{' '.join(words)}: {ran.stdout}{ran.stderr}")


def prepare(roost: Roost, port: int) -> dict[str, str]:
    """Nodes and the alias before them; ids of the nodes by name."""
    for name in WEIGHTS:
        command(roost, "node", "create", name, "--address", f"127.0.0.1:{port}", "--wait")
    shares = [word for name, weight in WEIGHTS.items() for word in ("--share", f"{name}={weight}")]
    rules = ["one:header:x-plan=gold", "two:path:/special/", "three:caller:nobody"]
    command(
        roost, "alias", "create", "bench", *shares, "--sticky", "header:x-user",
        *(word for rule in rules for word in ("--rule", rule)),
    )  # fmt: skip
    return {node["name"]: str(node["id"]) for node in roost.get("/v1/nodes")["nodes"]}


def homes(roost: Roost, nodes: dict[str, str]) -> dict[str, str]:
    """The node of each user."""
    command(roost, "alias", "update", "bench", "--show-node", "on")
    found = {}
    for user in USERS:
        ran = subprocess.run(
            ["curl", "-s", "-D-", "-o", os.devnull, f"http://127.0.0.1:{roost.port}/small"]
            + [word for pair in (f"authorization: Bearer {roost.token}", "x-node-alias: bench", f"x-user: {user}")
               for word in ("-H", pair)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = dict(line.lower().split(": ", 1) for line in ran.stdout.splitlines() if ": " in line)
        found[user] = lines["x-roost-node"]
    command(roost, "alias", "update", "bench", "--show-node", "off")
    if not set(found.values()) <= set(nodes.values()):
        raise BenchmarkError(f"unknown nodes: {found}")
    return found


def load(roost: Roost, values: list[str], headers: list[str], seconds: float, core: int) -> Figures:
    """One run of wrk with 64 connections."""
    url = f"http://127.0.0.1:{roost.port}/small"
    arguments = ["x-user", ",".join(values), *headers]
    return wrk("alias", url, arguments, [roost.pid], 64, seconds, core, "users.lua")


def main() -> None:
    parser = argparse.ArgumentParser(description="what an alias costs")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchmarkError("two cores are needed: one for the gateway, one for upstream and load")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roost-bench-")))
        upstream = stack.enter_context(Upstream(folder, cores[1]))
        roost = stack.enter_context(Roost("--loops", "1", core=cores[0]))
        found = homes(roost, prepare(roost, upstream.ports["http"]))
        usual = ["user-agent", "bench/1.0", "accept", "*/*", "accept-language", "en-US,en;q=0.9"]
        headers = [*usual, "authorization", f"Bearer {roost.token}", "x-folder-id", roost.folder_id]
        sides = {
            "node": ([f"{user}@{found[user]}" for user in USERS], headers),
            "alias": (USERS, [*headers, "x-node-alias", "bench"]),
        }
        rounds: dict[str, list[Figures]] = {name: [] for name in sides}
        for at in range(-1, options.rounds):
            for name in sides if at % 2 == 0 else reversed(sides):
                figures = load(roost, *sides[name], options.seconds, cores[1])
                if at >= 0:  # the first round only warms
                    rounds[name].append(figures)
        # An alias is not deleted with its nodes.
        command(roost, "alias", "delete", "bench", "--yes")
    middle = {name: {key: median(one[key] for one in runs) for key in runs[0]} for name, runs in rounds.items()}
    ratio = median(ours["cpu"] / theirs["cpu"] for ours, theirs in zip(rounds["alias"], rounds["node"]))
    table(
        f"An alias with 5 shares, stickiness and 3 rules; {options.rounds} rounds of {options.seconds} s; {machine()}",
        ["", "requests/s", "p50 µs", "p99 µs", "CPU µs/request"],
        [
            [f"by {name}", f"{one['rate']:.0f}", f"{one['p50']:.0f}", f"{one['p99']:.0f}", f"{one['cpu']:.2f}"]
            for name, one in middle.items()
        ],
    )
    bar("alias, CPU per request of addressing the node", ratio, 1.05, "x")


if __name__ == "__main__":
    run(main, keeps_awake=True)
