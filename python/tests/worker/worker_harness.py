"""Starts a real zygote over a checkpoint that the test writes, and talks frames to its instances."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from struct import Struct
from typing import Any, Callable

import cloudpickle

SOURCES = Path(__file__).resolve().parents[2] / "src"
HEAD = Struct("<IBQ")
RANDOMIZER = """\
from random import randint, seed

seed()


def generate_value(input_data):
    return dict(generated_value=randint(input_data['left_bound'], input_data['right_bound']))


output_data = generate_value(input_data)
print(output_data)
"""


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Polls until the condition holds and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.005)


class Checkpoint:
    """Writes blobs and a manifest as the notebook side would."""

    def __init__(self, folder: Path, code: str) -> None:
        self.blobs = folder / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.path = folder / "manifest.json"
        self.manifest: dict[str, Any] = {
            "formatVersion": 1,
            "cell": {"source": code, "code": code, "executionCount": 2},
            "python": {"version": platform.python_version(), "prefix": sys.prefix},
            "packages": {},
            "state": {},
            "variables": [],
            "groups": [],
            "localModules": [],
            "analysis": {"uses": [], "stores": [], "dynamic": []},
        }

    def blob(self, data: bytes) -> dict[str, Any]:
        """Stores bytes under their digest."""
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def group(self, used: bool = True, after_fork: bool = False, **values: Any) -> dict[str, Any]:
        """Adds one group of variables."""
        buffers: list[pickle.PickleBuffer] = []
        stream = cloudpickle.dumps(values, protocol=5, buffer_callback=buffers.append)
        group = {
            "id": len(self.manifest["groups"]),
            "names": list(values),
            "stream": self.blob(stream),
            "buffers": [self.blob(buffer.raw().tobytes()) for buffer in buffers],
            "afterFork": after_fork,
        }
        self.manifest["groups"].append(group)
        for name, value in values.items():
            kind = type(value)
            variable = {"name": name, "type": f"{kind.__module__}.{kind.__qualname__}", "group": group["id"]}
            self.manifest["variables"].append(variable)
            if used:
                self.uses(name)
        return group

    def module(self, name: str, module: str, used: bool = True, version: str | None = None) -> None:
        """Adds a variable that is a module."""
        variable = {"name": name, "type": "builtins.module", "module": module, "version": version}
        self.manifest["variables"].append(variable)
        if used:
            self.uses(name)

    def local_module(self, name: str, source: str, is_package: bool = False) -> None:
        """Pins a project-local module."""
        entry = {"name": name, "isPackage": is_package, "source": self.blob(source.encode())}
        self.manifest["localModules"].append(entry)

    def uses(self, name: str) -> None:
        """The cell reads this name."""
        self.manifest["analysis"]["uses"].append({"name": name, "line": 1, "via": []})

    def write(self) -> None:
        """Writes the manifest."""
        self.path.write_text(json.dumps(self.manifest))


class Client:
    """A connection to an instance."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(path))
        self.data = b""

    def send(self, kind: int, tag: int, payload: bytes = b"") -> None:
        """One frame."""
        self.sock.sendall(HEAD.pack(9 + len(payload), kind, tag) + payload)

    @staticmethod
    def request(tag: int, inputs: Any, request_id: str = "", timeout_ms: int = 0) -> bytes:
        """The bytes of an execute frame."""
        raw = inputs if isinstance(inputs, bytes) else json.dumps(inputs).encode()
        name = request_id.encode()
        payload = Struct("<IB").pack(timeout_ms, len(name)) + name + raw
        return HEAD.pack(9 + len(payload), 2, tag) + payload

    def receive(self) -> tuple[int, int, bytes]:
        """Kind, tag and payload of the next frame."""
        while len(self.data) < 13 or len(self.data) < 4 + HEAD.unpack_from(self.data)[0]:
            chunk = self.sock.recv(1 << 20)
            if not chunk:
                raise EOFError("the instance closed the connection")
            self.data += chunk
        length, kind, tag = HEAD.unpack_from(self.data)
        payload, self.data = self.data[13 : 4 + length], self.data[4 + length :]
        return kind, tag, payload

    def answer(self) -> tuple[int, Any]:
        """Tag, and the outputs or the error."""
        kind, tag, payload = self.receive()
        if kind == 131:
            return tag, json.loads(payload[4:])
        assert kind == 132, (kind, payload)
        return tag, Failure(json.loads(payload))

    def call(self, inputs: Any, request_id: str = "", timeout_ms: int = 0, tag: int = 7) -> Any:
        """The outputs, or a Failure."""
        self.sock.sendall(self.request(tag, inputs, request_id, timeout_ms))
        echoed, outcome = self.answer()
        assert echoed == tag
        return outcome

    def begin(self) -> dict[str, Any]:
        """Sends `begin` and expects `ready`."""
        self.send(1, 1, b"{}")
        kind, _, payload = self.receive()
        body: dict[str, Any] = json.loads(payload)
        assert kind == 129, body
        return body

    def close(self) -> None:
        """Closes the connection."""
        self.sock.close()


class Failure:
    """An `error` frame."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.kind: str = body["kind"]
        self.name: str = body["errorName"]
        self.message: str = body["errorMessage"]
        self.traceback: list[str] = body["traceback"]

    def __repr__(self) -> str:
        return f"Failure({self.body})"


class Zygote:
    """A running zygote."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, **config: Any) -> None:
        self.folder = folder
        self.sockets = folder / "sock"
        self.log = folder / "node.jsonl"
        self.sockets.mkdir(exist_ok=True)
        checkpoint.write()
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), **config.pop("environment", {})}
        full = {
            "node": "nodtest", "release": 1, "manifest": str(checkpoint.path), "blobs": str(checkpoint.blobs),
            "sockets": str(self.sockets), "log": str(self.log), "outputs": [{"name": "out", "type": "any"}],
            "timeoutSeconds": 10, "cpus": 1, **config,
        }  # fmt: skip
        path = folder / "zygote.json"
        path.write_text(json.dumps(full))
        self.errors = (folder / "stderr.txt").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "roost.worker", str(path)],
            env=environment,
            stdout=self.errors,
            stderr=self.errors,
        )
        eventually(lambda: (self.sockets / "zygote.sock").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, (folder / "stderr.txt").read_text()
        self.control = Control(self.sockets / "zygote.sock")
        self.clients: list[Client] = []

    def op(self, name: str, instance: str | None = None) -> dict[str, Any]:
        """One control request."""
        return self.control.ask({"op": name, **({"instance": instance} if instance else {})})

    def start(self, instance: str = "ins1") -> Client:
        """Starts an instance and lets it begin."""
        answer = self.op("start", instance)
        assert answer["ok"], answer
        client = self.connect(instance)
        client.begin()
        return client

    def connect(self, instance: str = "ins1") -> Client:
        """Another connection."""
        client = Client(self.sockets / f"{instance}.sock")
        self.clients.append(client)
        return client

    def lines(self, **match: Any) -> list[dict[str, Any]]:
        """The log lines whose fields are equal."""
        if not self.log.exists():
            return []
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if all(line.get(key) == value for key, value in match.items())]

    def messages(self, count: int = 1, **match: Any) -> list[str]:
        """Waits for that many log lines and returns their messages."""
        eventually(lambda: len(self.lines(**match)) >= count)
        return [line["message"] for line in self.lines(**match)]

    def stop(self) -> None:
        """Ends the zygote and with it its instances."""
        for client in self.clients:
            client.close()
        self.control.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.errors.close()


class Control:
    """A connection to the control socket."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rwb")

    def send(self, body: dict[str, Any]) -> None:
        """One request."""
        self.file.write(json.dumps(body).encode() + b"\n")
        self.file.flush()

    def receive(self) -> dict[str, Any]:
        """One line."""
        line = self.file.readline()
        assert line, "the zygote closed the control connection"
        body: dict[str, Any] = json.loads(line)
        return body

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request and its answer."""
        self.send(body)
        return self.receive()

    def close(self) -> None:
        """Closes the connection."""
        self.file.close()
        self.sock.close()
