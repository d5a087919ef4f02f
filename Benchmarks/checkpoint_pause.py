"""How long a cell run waits for its automatic checkpoint, with a large state that does not change.

    .venv/bin/python Benchmarks/checkpoint_pause.py [--megabytes 500] [--runs 15]

The real writer of the kernel against a real server: structure is saved while the cell run waits, memory is hashed and
uploaded in the background. Beside it: what `cloudpickle.dumps` of the same state takes.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
import types
from typing import Any

from common import SOURCES, BenchmarkError, Roost, bar, machine, median, run, table

sys.path.insert(0, str(SOURCES))


def state_of(megabytes: int) -> dict[str, Any]:
    """A namespace with arrays of together that size, and what else a notebook has."""
    import numpy

    namespace = types.ModuleType("__main__").__dict__
    each = megabytes * 1_000_000 // 4 // 8
    for number in range(4):
        namespace[f"array{number}"] = numpy.random.default_rng(number).random(each)
    exec("config = {'rate': 0.1}\ndef f(x):\n  return x * config['rate']\nclass Model:\n  pass", namespace)
    namespace["model"] = namespace["Model"]()
    namespace["rows"] = [{"id": number, "name": f"row {number}"} for number in range(1000)]
    return namespace


def main() -> None:
    import cloudpickle
    from roost.checkpoint.capture import Cell
    from roost.checkpoint.writer import Writer
    from roost.client import Client

    parser = argparse.ArgumentParser(description="pause of a cell run for its checkpoint")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    namespace = state_of(options.megabytes)
    values = {name: value for name, value in namespace.items() if not name.startswith("__")}
    pauses: list[float] = []
    backgrounds: list[float] = []
    plain: list[float] = []
    with Roost() as roost:
        writer = Writer(namespace, Client(f"http://127.0.0.1:{roost.port}", roost.token))
        for number in range(options.runs + 1):
            started = time.perf_counter()
            saved = writer.save({}, Cell("f(2)", "f(2)", number + 1))
            saved.poll(None)
            if not saved.result or "error" in saved.result:
                raise BenchmarkError(f"not saved: {saved.result}")
            whole = (time.perf_counter() - started) * 1000
            writer.reap()
            if number:  # the first one uploads everything
                pauses.append(saved.pause * 1000)
                backgrounds.append(whole - pauses[-1])
            if number % 5 == 1:  # both sides in turns
                started = time.perf_counter()
                cloudpickle.dumps(values)
                plain.append((time.perf_counter() - started) * 1000)
        data = sum(path.stat().st_size for path in pathlib.Path(roost.data).rglob("*") if path.is_file())
    pause = median(pauses)
    rows = []
    for name, values_ms in (
        ("pause of the cell run", pauses),
        ("in the background", backgrounds),
        ("cloudpickle.dumps of the state", plain),
    ):
        ratio = f"{median(values_ms) / pause:.1f}x"
        rows.append([name, f"{len(values_ms)}", f"{median(values_ms):.1f}", f"{max(values_ms):.1f}", ratio])
    table(
        f"Checkpoint of {options.megabytes} MB that did not change, milliseconds; {machine()}",
        ["", "runs", "p50", "max", "of the pause"], rows,
    )  # fmt: skip
    print(f"The data folder holds {data / 1e6:.0f} MB after {options.runs + 1} checkpoints.")
    bar(f"checkpoint pause with {options.megabytes} MB of unchanged state, p50", pause, 70, " ms")


if __name__ == "__main__":
    run(main)
