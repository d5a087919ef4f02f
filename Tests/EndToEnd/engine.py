"""The container engine and the registry that scripts/with-engine starts, asked over their own API."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import urllib.parse
from typing import Any

from conftest import wait_for

SOCKET = os.environ.get("ROOST_TEST_ENGINE", "")
REGISTRY = os.environ.get("ROOST_TEST_REGISTRY", "")
MISSING = os.environ.get("ROOST_TEST_ENGINE_MISSING") or "no engine: run the tests with scripts/with-engine"
PASSWORD = "p w:d/1"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def ask(method: str, path: str, body: Any = None, at: str = SOCKET) -> Any:
    connection = UnixConnection(at)
    data = None if body is None else json.dumps(body)
    connection.request(method, f"/v1.41{path}", data, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status < 300 or answer.status in (304, 404, 409), (method, path, answer.status, text)
    return json.loads(text) if text and answer.status < 300 else None


def _labelled(node: str) -> str:
    return urllib.parse.quote(json.dumps({"label": [f"roost.node={node}"]}))


def containers(node: str, at: str = SOCKET) -> list[dict[str, Any]]:
    return list(ask("GET", f"/containers/json?all=1&filters={_labelled(node)}", at=at))


def left_of(node: str, at: str = SOCKET) -> list[str]:
    """Names of whatever there is of a node."""
    names = [str(c["Names"][0]) for c in containers(node, at)]
    names += [str(n["Name"]) for n in ask("GET", f"/networks?filters={_labelled(node)}", at=at)]
    names += [str(v["Name"]) for v in ask("GET", f"/volumes?filters={_labelled(node)}", at=at)["Volumes"] or []]
    return names


def inspect(instance: str) -> dict[str, Any]:
    return dict(ask("GET", f"/containers/roost-{instance}/json"))


class Engine:
    """The engine as a process, where the tests may end it."""

    def __init__(self) -> None:
        self.pid = int(os.environ.get("ROOST_TEST_ENGINE_PID") or 0)
        self.started: subprocess.Popen[bytes] | None = None
        self.arguments = open(f"/proc/{self.pid}/cmdline").read().split("\0")[:-1] if self.pid else []

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        self.send(number)
        if self.started:
            self.started.wait(60)
            return

        def gone() -> bool:
            try:
                return open(f"/proc/{self.pid}/stat").read().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                return True

        wait_for("the engine has ended", gone)

    def start(self) -> None:
        folder = os.path.dirname(SOCKET)
        # One that was killed leaves it, and its process may not be reaped yet: the next one would take that for a running engine.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{folder}/docker.pid")
        with open(f"{folder}/dockerd.log", "ab") as log:
            self.started = process = subprocess.Popen(self.arguments, stdout=log, stderr=log)
        self.pid = process.pid
        # For the next test that wants to end it.
        os.environ["ROOST_TEST_ENGINE_PID"] = str(self.pid)

        def answers() -> bool:
            assert process.poll() is None, self._words(folder)
            try:
                ask("GET", "/info")
                return True
            except OSError:
                return False

        try:
            wait_for("the engine answers", answers)
        except AssertionError as error:
            raise AssertionError(self._words(folder)) from error

    @staticmethod
    def _words(folder: str) -> str:
        with open(f"{folder}/dockerd.log", errors="replace") as log:
            return "the engine said: " + "".join(log.readlines()[-15:])


def import_image(tar: str | os.PathLike[str], name: str, *changes: str) -> None:
    """Gives the engine an image of a root file system."""
    query = urllib.parse.urlencode(
        [("fromSrc", "-"), ("repo", name.rpartition(":")[0]), ("tag", name.rpartition(":")[2]), *(("changes", c) for c in changes)]
    )
    connection = UnixConnection(SOCKET)
    with open(tar, "rb") as body:
        connection.request("POST", f"/v1.41/images/create?{query}", body, {"content-type": "application/x-tar"})
        answer = connection.getresponse()
        text = answer.read()
    connection.close()
    assert answer.status == 200 and b'"error"' not in text, (answer.status, text)
