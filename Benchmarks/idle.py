"""What an idle `roost serve` costs: resident memory and processor time, new and after its API was used.

.venv/bin/python Benchmarks/idle.py [--seconds 5]
"""

from __future__ import annotations

import argparse
import time

from common import ROOT, BenchmarkError, Roost, bar, cpu_seconds, kilobytes, machine, run, table

VALUES = {"input_data": {"left_bound": 1, "right_bound": 10}}


def idle(roost: Roost, seconds: float) -> list[float]:
    """Megabytes resident and private, and processor time in thousandths of a core, over some idle seconds."""
    before = cpu_seconds([roost.pid])
    time.sleep(seconds)
    used = (cpu_seconds([roost.pid]) - before) / seconds * 1000
    names = ["Private_Clean", "Private_Dirty"]
    own = sum(kilobytes(roost.pid, "smaps_rollup", name) for name in names) * 1024 / 1e6
    return [kilobytes(roost.pid, "status", "VmRSS") * 1024 / 1e6, own, used]


def main() -> None:
    parser = argparse.ArgumentParser(description="idle cost of the service")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with Roost() as roost:
        new = idle(roost, options.seconds)
        notebook = ROOT / "examples" / "randomizer" / "randomizer.ipynb"
        checkpoint = roost.checkpoint("randomizer", notebook=notebook)
        node = roost.node("idle", checkpoint, ["input_data:dict"], ["output_data:dict"], configuration="c1.4",
                          instances={"min": 2, "max": 2, "count": 2})  # fmt: skip
        roost.healthy(node, 2)
        folder = roost.folder_id
        for _ in range(1000):
            status, answer = roost.execute(node, folder, VALUES)
            if status != 200:
                raise BenchmarkError(f"{status} {answer}")
        used = idle(roost, options.seconds)
    rows = [
        [name, *(f"{figure:.1f}" for figure in figures)]
        for name, figures in (
            ("just started", new),
            ("with a node of 2 instances, after 1000 requests", used),
        )
    ]
    table(
        f"`roost serve`, idle; {machine()}", ["", "RSS MB", "private MB", "CPU, thousandths of a core"], rows
    )
    bar("roost serve idle, RSS", new[0], 60, " MB")
    bar("roost serve idle after use, RSS", used[0], 60, " MB")


if __name__ == "__main__":
    run(main)
