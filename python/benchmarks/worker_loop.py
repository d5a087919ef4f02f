"""Microseconds per request of the worker's loop for the randomizer cell, at windows of 1 and 8 requests.

The client keeps WINDOW requests in flight over one connection and sends the next batch when all are answered.
`worker` is the instance's own processor time per request, `wall` the time that the client sees.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests" / "worker")]

from worker_harness import HEAD, RANDOMIZER, Checkpoint, Client, Zygote  # noqa: E402

INPUT = {"input_data": {"left_bound": 1, "right_bound": 10}}


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def measure(client: Client, pid: int, window: int, requests: int) -> tuple[float, float]:
    """Processor and wall microseconds per request."""
    batch = b"".join(client.request(tag, INPUT, "req-0123456789abcdef") for tag in range(window))
    sock = client.sock
    cpu, wall = processor_seconds(pid), time.perf_counter()
    for _ in range(requests // window):
        sock.sendall(batch)
        data, at, left = b"", 0, window
        while left:
            data += sock.recv(1 << 16)
            while len(data) - at >= 4 and len(data) - at >= 4 + HEAD.unpack_from(data + bytes(13), at)[0]:
                assert data[at + 4] == 131, data[at:]
                at += 4 + HEAD.unpack_from(data, at)[0]
                left -= 1
    done = requests // window * window
    return (processor_seconds(pid) - cpu) * 1e6 / done, (time.perf_counter() - wall) * 1e6 / done


def main() -> None:
    """Prints one line per window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = Checkpoint(folder / "checkpoint", RANDOMIZER)
        zygote = Zygote(
            folder,
            checkpoint,
            inputs=[{"name": "input_data", "type": "dict"}],
            outputs=[{"name": "output_data", "type": "dict"}],
        )
        try:
            client = zygote.start()
            pid = zygote.op("info")["instances"][0]["pid"]
            measure(client, pid, 8, 4000)
            print(f"{'window':>6} {'worker µs/request':>18} {'wall µs/request':>16}")
            for window in (1, 8):
                rounds: list[tuple[float, float]] = [
                    measure(client, pid, window, arguments.requests) for _ in range(arguments.rounds)
                ]
                cpu, wall = min(cpu for cpu, _ in rounds), min(wall for _, wall in rounds)
                print(f"{window:>6} {cpu:>18.1f} {wall:>16.1f}")
                os.truncate(zygote.log, 0)
        finally:
            zygote.stop()


if __name__ == "__main__":
    main()
