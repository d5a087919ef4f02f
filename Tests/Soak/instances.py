"""The instances of the soak: programs that may be killed at any moment.

    python instances.py web PORT     HTTP/1.1 with uvicorn: values, echoes, events, WebSockets
    python instances.py grpc PORT    gRPC with grpcio: one answer, many, a dialogue

What they answer can be checked by who asked: `answer_of` of the number in the request, or the bytes that were sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any

SERVICE = "soak.Echo"


def answer_of(number: int) -> int:
    """What an instance makes of a number."""
    return (number * 2654435761 + 97) % 1_000_000_007


def pattern(number: int, size: int) -> bytes:
    """Bytes that nobody else's request has."""
    block = f"{number:016x}-{answer_of(number):010d}|".encode()
    return (block * (size // len(block) + 1))[:size]


async def web(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application of the `web` instances."""
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        return await socket(receive, send)
    parts = scope["path"].strip("/").split("/")
    if parts[0] == "value":
        body = json.dumps({"value": answer_of(int(parts[1]))}).encode()
        await answer(send, body)
    elif parts[0] == "bytes":
        await answer(send, pattern(int(parts[1]), int(parts[2])))
    elif parts[0] == "echo":
        await echo(receive, send)
    elif parts[0] == "events":
        await start(send, [(b"content-type", b"text/event-stream")])
        for at in range(int(parts[2])):
            line = f"id: {at}\ndata: {answer_of(int(parts[1]) + at)}\n\n".encode()
            await send({"type": "http.response.body", "body": line, "more_body": True})
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"event: end\ndata: end\n\n"})
    else:
        await answer(send, b"ok")


async def start(send: Any, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def answer(send: Any, body: bytes) -> None:
    await start(send, [(b"content-length", str(len(body)).encode())])
    await send({"type": "http.response.body", "body": body})


async def echo(receive: Any, send: Any) -> None:
    """The body back, part by part, without a length."""
    await start(send, [])
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": more})


async def socket(receive: Any, send: Any) -> None:
    """Echoes messages with the answer before each."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        number = int(event["text"].partition(" ")[0])
        await send({"type": "websocket.send", "text": f"{answer_of(number)} {event['text']}"})


def serve_web(port: int) -> None:
    import uvicorn

    # No connection is closed by the instance while the gateway keeps it: such a request could not be told from a kill's.
    uvicorn.run(web, host="127.0.0.1", port=port, log_level="critical", timeout_keep_alive=600, backlog=2048)


def serve_grpc(port: int) -> None:
    import grpc
    from grpc_health.v1 import health, health_pb2_grpc

    def say(request: bytes, context: Any) -> bytes:
        return request[::-1]

    def count(request: bytes, context: Any) -> Iterator[bytes]:
        number, times = (int(part) for part in request.split())
        for at in range(times):
            yield b"%d" % answer_of(number + at)

    def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield request[::-1]

    handlers = grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Say": grpc.unary_unary_rpc_method_handler(say),
            "Count": grpc.unary_stream_rpc_method_handler(count),
            "Chat": grpc.stream_stream_rpc_method_handler(chat),
        },
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(64),
        options=[("grpc.max_receive_message_length", 16 << 20), ("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers((handlers,))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        sys.exit(f"port {port} is taken")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    {"web": serve_web, "grpc": serve_grpc}[sys.argv[1]](int(sys.argv[2]))
