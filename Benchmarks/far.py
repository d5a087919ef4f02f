"""Large requests from far away, by gRPC, against Envoy: how long a request takes when the way has a delay.

    .venv/bin/python Benchmarks/far.py [--delay 10] [--rounds 5] [--sizes 256 1024 4096 16384]

Between the client (h2load, one connection, one request at a time) and each proxy stands a relay that keeps every byte for the
delay, each way; the proxies stand before the same gRPC server on this machine. What counts is round trips, not processor time:
HTTP/2 lets a client send a window of bytes ahead and no more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import urllib.parse
from collections.abc import Iterator

from common import machine, median, run, table
from proxies.peers import free_port
from proxy import Bench, Target

# Bytes of one read of the relay.
PIECE = 1 << 18


async def delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Passes on what comes, `delay` seconds later each, however much is on its way."""
    loop = asyncio.get_running_loop()
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, piece = await way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                return writer.close()
            writer.write(piece)

    delivery = asyncio.create_task(deliver())
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(PIECE):
            way.put_nowait((loop.time() + delay, piece))
    way.put_nowait((loop.time() + delay, b""))
    await delivery


def relay(port: int, target: int, delay: float) -> None:
    """A process that listens at `port` and passes both ways, with the delay."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target, limit=1 << 24)
        await asyncio.gather(delayed(reader, far_writer, delay), delayed(far_reader, writer, delay))

    async def serve() -> None:
        server = await asyncio.start_server(accepted, "127.0.0.1", port, limit=1 << 24)
        await server.serve_forever()

    asyncio.run(serve())


@contextlib.contextmanager
def far(target: Target, delay: float) -> Iterator[Target]:
    """The same proxy behind a relay."""
    url = urllib.parse.urlsplit(target.url)
    port = free_port()
    process = multiprocessing.Process(target=relay, args=(port, url.port, delay), daemon=True)
    process.start()
    try:
        yield Target(target.name, url._replace(netloc=f"127.0.0.1:{port}").geturl(), target.headers, target.pids)
    finally:
        process.kill()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="large requests from far away against Envoy")
    parser.add_argument("--delay", type=float, default=10, help="milliseconds each way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024, 4096, 16384], help="KiB")
    options = parser.parse_args()
    options.only = ["grpc"]
    print(machine())
    with contextlib.ExitStack() as stack:
        bench = Bench(options, stack)
        # nginx refuses bodies over 1 MiB unless told otherwise.
        targets = [
            stack.enter_context(far(target, options.delay / 1000))
            for target in bench.targets("/bench.Echo/Say", "h2c", ["envoy"])
        ]
        rows: list[list[str]] = []
        for size in options.sizes:
            message = bench.folder / f"message-{size}"
            count = size * 1024
            message.write_bytes(b"\0" + count.to_bytes(4, "big") + bytes(count))
            taken: dict[str, list[float]] = {target.name: [] for target in targets}
            for target in targets:
                target.h2load(2, bench.other_core, 1, message, connections=1)
            for _ in range(options.rounds):
                for target in targets:
                    figures = target.h2load(16, bench.other_core, 1, message, connections=1)
                    taken[target.name].append(figures["p50"] / 1000)
            rows.append([f"{size} KiB", *(f"{median(times):.0f}" for times in taken.values())])
        table(
            f"gRPC requests, {options.delay:.0f} ms each way, mean ms per request; {options.rounds} rounds of 16",
            ["", *(target.name for target in targets)],
            rows,
        )


if __name__ == "__main__":
    run(main)
