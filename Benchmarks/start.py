"""How fast a node answers, and an instance starts.

    .venv/bin/python Benchmarks/start.py [--runs 7] [--megabytes 500]

Node: from the request that creates it until its first answer arrives, called in a loop as a user would, for the randomizer.
Instance: from the asking for it until it runs (`createdAt` to `startedAt`) when a node with a large array is scaled from 1
to 8: the fork from the zygote, its limits and its first sign of life.
"""

from __future__ import annotations

import argparse
import datetime
import time

from common import ROOT, BenchmarkError, Roost, bar, machine, median, run, table, wait_for

VALUES = {"input_data": {"left_bound": 1, "right_bound": 10}}
ARRAY = "import numpy\nstate = numpy.random.default_rng(0).random({count})"
READ = "output_data = dict(total=float(state[int(input_data['from'])::int(input_data['step'])].sum()))"


def first_answer(roost: Roost, folder: str, checkpoint: str) -> tuple[float, float]:
    """Milliseconds from the creation of a node to its first answer, and to the end of its creation."""
    started = time.perf_counter()
    node = roost.node(
        "start", checkpoint, ["input_data:dict"], ["output_data:dict"], configuration="c1.4",
        instances={"min": 1, "max": 1, "count": 1},
    )  # fmt: skip
    asked = time.perf_counter()
    while True:
        status, answer = roost.execute(node, folder, VALUES)
        if status == 200:
            break
        if status not in (404, 429, 503) or time.perf_counter() - started > 30:
            raise BenchmarkError(f"{status} {answer}")
        time.sleep(0.001)
    answered = time.perf_counter()
    roost.done("DELETE", f"/v1/nodes/{node}")
    wait_for("the node is gone", lambda: not roost.get("/v1/nodes")["nodes"])
    return (answered - started) * 1000, (asked - started) * 1000


def instant(text: str) -> float:
    """Seconds of a time of the API."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def instance_starts(roost: Roost, node: str, runs: int) -> list[float]:
    """Milliseconds of instance starts, one at a time and several at once, from the API's own times."""
    known = {one["id"] for one in roost.healthy(node, 1)}
    taken: list[float] = []
    for _ in range(runs):
        for count in (2, 1):  # one instance more, then one fewer: each start is alone
            roost.done("PATCH", f"/v1/nodes/{node}?update_mask=instances", {"instances": {"count": count}})
            for one in roost.healthy(node, count):
                if one["id"] not in known:
                    known.add(one["id"])
                    taken.append((instant(one["startedAt"]) - instant(one["createdAt"])) * 1000)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description="node creation to first answer, and instance start")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    with Roost() as roost:
        folder = roost.folder_id
        notebook = ROOT / "examples" / "randomizer" / "randomizer.ipynb"
        checkpoint = roost.checkpoint("randomizer", notebook=notebook)
        nodes = [first_answer(roost, folder, checkpoint) for _ in range(options.runs + 1)][
            1:
        ]  # the first: cold files
        count = options.megabytes * 1_000_000 // 8
        large = roost.checkpoint(
            "large", ARRAY.format(count=count), "input_data = {'from': 0, 'step': 1}", READ
        )
        node = roost.node(
            "large", large, ["input_data:dict"], ["output_data:dict"], configuration="c1.4",
            instances={"min": 1, "max": 8, "count": 1},
        )  # fmt: skip
        roost.healthy(node, 1)
        roost.execute(node, folder, {"input_data": {"from": 0, "step": 1}})
        starts = instance_starts(roost, node, options.runs)
    rows = []
    for name, values in (
        ("node: create to first answer", [node[0] for node in nodes]),
        ("  of it: the create request", [node[1] for node in nodes]),
        (f"instance start, {options.megabytes} MB of state", starts),
    ):
        rows.append(
            [name, f"{len(values)}", f"{min(values):.1f}", f"{median(values):.1f}", f"{max(values):.1f}"]
        )
    table(f"Starts, milliseconds; {machine()}", ["", "runs", "min", "p50", "max"], rows)
    bar("node create to first answer, p50", median(node[0] for node in nodes), 300, " ms")
    bar(f"instance start with {options.megabytes} MB of state, p50", median(starts), 15, " ms")


if __name__ == "__main__":
    run(main)
