"""Calls echo.v1.Echo through the gateway: client.py NODE_ID MESSAGE (with pip install grpcio-tools)."""

import os
import pathlib
import sys

import grpc

node, message = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(__file__).parent / "app"))
protos, services = grpc.protos_and_services("echo.proto")
token = pathlib.Path(os.environ["ROOST_TOKEN_FILE"]).read_text().strip()
address = os.environ["ROOST_URL"].partition("://")[2]
with grpc.insecure_channel(address) as channel:
    echo = services.EchoStub(channel)
    answer = echo.Reflect(
        protos.ReflectRequest(message=message),
        metadata=[("authorization", f"Bearer {token}"), ("x-node-id", node)],
        timeout=30,
    )
print(answer.message)
