"""What instances of one node cost in memory: 8 of them over one large array, each having read all of it, against one.

    .venv/bin/python Benchmarks/memory.py [--megabytes 500] [--instances 8]

Figures of the kernel (`/proc/PID/smaps_rollup`): a page that several processes share counts in part for each in the PSS.
"Zygote" is the process that restored the checkpoint and that forked the instances.
"""

from __future__ import annotations

import argparse
import concurrent.futures

from common import BenchmarkError, Roost, bar, kilobytes, machine, run, table, with_ancestors

ARRAY = "import numpy\nstate = numpy.random.default_rng(0).random({count})"
READ = "import os\noutput_data = dict(total=float(state.sum()), pid=os.getpid())"


def read_everywhere(roost: Roost, node: str, folder: str, instances: int) -> None:
    """Calls until every instance has read the whole array."""
    seen: set[int] = set()
    with concurrent.futures.ThreadPoolExecutor(instances) as pool:
        for _ in range(100):
            calls = [pool.submit(roost.execute, node, folder, {"input_data": {}}) for _ in range(instances)]
            for call in calls:
                status, answer = call.result()
                if status != 200:
                    raise BenchmarkError(f"{status} {answer}")
                seen.add(answer["output"]["output_data"]["pid"])
            if len(seen) >= instances:
                return
    raise BenchmarkError(f"only {len(seen)} of {instances} instances were reached in 100 rounds")


def measured(pid: int) -> dict[str, float]:
    """Megabytes of a process."""
    names = {"rss": ["Rss"], "pss": ["Pss"], "shared": ["Shared_Clean", "Shared_Dirty"],
             "private": ["Private_Clean", "Private_Dirty"]}  # fmt: skip
    return {
        key: sum(kilobytes(pid, "smaps_rollup", name) for name in found) / 1000
        for key, found in names.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="memory of instances over one array")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--instances", type=int, default=8)
    options = parser.parse_args()
    with Roost() as roost:
        folder = roost.folder_id
        count = options.megabytes * 1_000_000 // 8
        checkpoint = roost.checkpoint("array", ARRAY.format(count=count), "input_data = {}", READ)
        node = roost.node(
            "array", checkpoint, ["input_data:dict"], ["output_data:dict"], configuration="c1.4",
            instances={"min": 1, "max": options.instances, "count": 1},
        )  # fmt: skip

        def sizes(instances: int) -> tuple[dict[int, dict[str, float]], dict[int, dict[str, float]]]:
            pids = [int(one["pid"]) for one in roost.healthy(node, instances)]
            read_everywhere(roost, node, folder, instances)
            others = with_ancestors(pids) - set(pids) - {roost.pid}
            return {pid: measured(pid) for pid in pids}, {pid: measured(pid) for pid in others}

        one, one_others = sizes(1)
        mask = "instances"
        roost.done(
            "PATCH", f"/v1/nodes/{node}?update_mask={mask}", {"instances": {"count": options.instances}}
        )
        all_of_them, others = sizes(options.instances)

    def row(name: str, size: dict[str, float]) -> list[str]:
        return [name, *(f"{size[key]:.1f}" for key in ("rss", "pss", "shared", "private"))]

    def total(name: str, sizes: list[dict[str, float]]) -> list[str]:
        return row(
            name, {key: sum(size[key] for size in sizes) for key in ("rss", "pss", "shared", "private")}
        )

    rows = [
        row("the only instance", next(iter(one.values()))),
        total("  zygote and sandbox beside it", list(one_others.values())),
    ]
    rows += [
        row(f"instance {at} of {options.instances}", size) for at, size in enumerate(all_of_them.values(), 1)
    ]
    rows += [
        total("  zygote and sandbox beside them", list(others.values())),
        total("all instances", list(all_of_them.values())),
    ]
    table(
        f"Memory over an array of {options.megabytes} MB, MB; {machine()}",
        ["", "RSS", "PSS", "shared", "private"],
        rows,
    )
    before = sum(size["pss"] for size in one.values()) + sum(size["pss"] for size in one_others.values())
    after = sum(size["pss"] for size in all_of_them.values()) + sum(size["pss"] for size in others.values())
    print(
        f"PSS with zygote and sandbox: {before:.1f} MB with 1 instance, {after:.1f} MB with {options.instances}."
    )
    bar(f"PSS of {options.instances} instances, of that of 1", after / before, 1.3, "x")


if __name__ == "__main__":
    run(main)
