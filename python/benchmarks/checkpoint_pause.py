"""How long a cell run waits for its checkpoint, with a large state that does not change.

    PYTHONPATH=src python benchmarks/checkpoint_pause.py [--megabytes 500] [--runs 30]

Pauses and background times are of the real writer: structure in this process, hashes in a forked child, a server on the
loopback interface. Beside them, what a plain `cloudpickle.dumps` of the same state costs. Ends with 1 when the median
pause is over the limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any, Dict, List

import cloudpickle
import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "kernel"))
from checkpoint_server import TOKEN, CheckpointServer

from roost.checkpoint.capture import Cell
from roost.checkpoint.writer import Saved, Writer
from roost.client import Client

LIMIT_MS = 70.0


def state_of(megabytes: int) -> Dict[str, Any]:
    """A namespace with arrays of together that size, and what else a notebook has."""
    namespace = types.ModuleType("__main__").__dict__
    each = megabytes * 1_000_000 // 4 // 8
    for number in range(4):
        namespace[f"array{number}"] = numpy.random.default_rng(number).random(each)
    exec("config = {'rate': 0.1}\ndef f(x):\n  return x * config['rate']\nclass Model:\n  pass", namespace)
    namespace["model"] = namespace["Model"]()
    namespace["rows"] = [{"id": number, "name": f"row {number}"} for number in range(1000)]
    return namespace


def row(name: str, milliseconds: List[float]) -> str:
    """One line of the table."""
    ordered = sorted(milliseconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"{name:<34}{statistics.median(ordered):>10.1f}{p95:>10.1f}{ordered[-1]:>10.1f}"


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description="pause of a cell run for its checkpoint")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    namespace = state_of(options.megabytes)
    server = CheckpointServer()
    try:
        writer = Writer(namespace, Client(server.url, TOKEN))
        pauses: List[float] = []
        backgrounds: List[float] = []
        for number in range(options.runs + 1):
            started = time.perf_counter()
            saved: Saved = writer.save({}, Cell("f(2)", "f(2)", number + 1))
            saved.poll(None)
            if not saved.result or "error" in saved.result:
                print(f"not saved: {saved.result}", file=sys.stderr)
                return 1
            if number:  # the first uploads everything
                pauses.append(saved.pause * 1000)
                backgrounds.append((time.perf_counter() - started) * 1000 - saved.pause * 1000)
            writer.reap()
        uploads = len(server.put)
        plain: List[float] = []
        values = {name: value for name, value in namespace.items() if not name.startswith("__")}
        for _ in range(3):
            started = time.perf_counter()
            cloudpickle.dumps(values)
            plain.append((time.perf_counter() - started) * 1000)
    finally:
        server.stop()
    print(
        f"{options.megabytes} MB of state that does not change, {options.runs} cell runs, {uploads} blobs uploaded in all"
    )
    print(f"{'milliseconds':<34}{'p50':>10}{'p95':>10}{'max':>10}")
    print(row("pause of the cell run", pauses))
    print(row("background (hashing, asking)", backgrounds))
    print(row("cloudpickle.dumps of the state", plain))
    pause = statistics.median(pauses)
    print(
        f"ratio to cloudpickle.dumps: {statistics.median(plain) / pause:.1f} times shorter; limit {LIMIT_MS:.0f} ms"
    )
    return 0 if pause <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
