"""Large gRPC messages over a way with a delay, against Envoy: how long a call takes.

    .venv/bin/python Benchmarks/far.py [--delay 10] [--rounds 5] [--sizes 256 1024 4096 16384]

A relay keeps every byte for the delay, each way. First it stands between the client (h2load, one connection, one request at a
time) and each proxy, and requests are large; then between the proxies and the gRPC server, and answers are. What counts is
round trips, not processor time: HTTP/2 lets each side send a window of bytes ahead and no more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import pathlib
import urllib.parse
from collections.abc import Iterator, Sequence

from common import BenchmarkError, machine, median, run, table
from proxies.peers import Envoy, free_port
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
def relayed(target: int, delay: float) -> Iterator[int]:
    """A port that leads to another one through a relay."""
    port = free_port()
    process = multiprocessing.Process(target=relay, args=(port, target, delay), daemon=True)
    process.start()
    try:
        yield port
    finally:
        process.kill()
        process.join()


def message(size: int) -> bytes:
    """A gRPC message of so many KiB of zeros."""
    count = size * 1024
    return b"\0" + count.to_bytes(4, "big") + bytes(count)


def far_clients(bench: Bench, stack: contextlib.ExitStack, options: argparse.Namespace) -> None:
    """Large requests of clients far from the proxies."""
    targets = []
    # nginx refuses bodies over 1 MiB unless told otherwise.
    for target in bench.targets("/bench.Echo/Say", "h2c", ["envoy"]):
        url = urllib.parse.urlsplit(target.url)
        port = stack.enter_context(relayed(url.port or 0, options.delay / 1000))
        url = url._replace(netloc=f"127.0.0.1:{port}")
        targets.append(Target(target.name, url.geturl(), target.headers, target.pids))
    rows = []
    for size in options.sizes:
        body = bench.folder / f"message-{size}"
        body.write_bytes(message(size))
        rows.append([f"{size} KiB", *measure(bench, targets, body, options.rounds)])
    show("requests from afar", targets, rows, options)


def far_instances(bench: Bench, stack: contextlib.ExitStack, options: argparse.Namespace) -> None:
    """Large answers of an instance far from the proxies."""
    if bench.grpc is None:
        raise BenchmarkError("there is no gRPC server")
    port = stack.enter_context(relayed(bench.grpc.ports["http"], options.delay / 1000))
    folder = bench.folder / "far"
    folder.mkdir()
    envoy = stack.enter_context(Envoy(folder, bench.proxy_core, bench.upstream.ports["http"], port))
    headers = bench.routed(bench.make_node("far", "grpc", port))
    ask = bench.folder / "ask"
    ask.write_bytes(message(0))
    rows = []
    targets: list[Target] = []
    for size in options.sizes:
        path = f"/bench.Echo/Far{size}"
        (bench.grpc.folder / path[1:]).write_bytes(message(size))
        targets = [
            Target("roost", f"http://127.0.0.1:{bench.roost.port}{path}", headers, lambda: {bench.roost.pid}),
            Target("envoy", f"http://127.0.0.1:{envoy.ports['http']}{path}", headers, lambda: envoy.pids),
        ]
        rows.append([f"{size} KiB", *measure(bench, targets, ask, options.rounds)])
    show("answers from afar", targets, rows, options)


def measure(bench: Bench, targets: Sequence[Target], body: pathlib.Path, rounds: int) -> list[str]:
    """Mean milliseconds per call, the median of the rounds, of each."""
    taken: dict[str, list[float]] = {target.name: [] for target in targets}
    for target in targets:
        target.h2load(2, bench.other_core, 1, body, connections=1)
    for _ in range(rounds):
        for target in targets:
            figures = target.h2load(16, bench.other_core, 1, body, connections=1)
            taken[target.name].append(figures["p50"] / 1000)
    return [f"{median(times):.0f}" for times in taken.values()]


def show(what: str, targets: Sequence[Target], rows: list[list[str]], options: argparse.Namespace) -> None:
    title = f"gRPC, {what}, {options.delay:.0f} ms each way, mean ms per call; {options.rounds} rounds of 16"
    table(title, ["", *(target.name for target in targets)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="large gRPC messages from far away against Envoy")
    parser.add_argument("--delay", type=float, default=10, help="milliseconds each way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024, 4096, 16384], help="KiB")
    options = parser.parse_args()
    options.only = ["grpc"]
    print(machine())
    with contextlib.ExitStack() as stack:
        bench = Bench(options, stack)
        far_clients(bench, stack, options)
        far_instances(bench, stack, options)


if __name__ == "__main__":
    run(main)
