"""Drives the built binary as a user would: real processes, port 0, a data folder of its own for each server."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from upgrading import Upgradable

# Terminals are forked out of this process: handlers of grpcio's threads would end them before they begin.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = ROOT / "bin" / "roost"


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Polls a level, not an edge, and fails with a name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Answer:
    """Status, headers and JSON of an answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"HTTP {self.status} {self.body[:600]!r}"


class Roost:
    """One server."""

    def __init__(self, data: pathlib.Path, *flags: str) -> None:
        self.data = data
        self.flags = flags
        self.before: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.log = data.parent / f"{data.name}.log"

    def start(self) -> Roost:
        listen = f"127.0.0.1:{self.port}"
        with open(self.log, "ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                [*self.before, BINARY, "serve", "--data", self.data, "--listen", listen, *self.flags], stdout=log, stderr=log
            )

        def serving() -> bool:
            assert self.process and self.process.poll() is None, self.log.read_text()[-3000:]
            for line in self.log.read_bytes()[start:].decode().splitlines():
                if '"roost serves"' in line:
                    self.port = int(json.loads(line)["listen"].split(",")[0].rpartition(":")[2])
                    return True
            return False

        wait_for("roost serves", serving)
        wait_for("ready", lambda: self.call("GET", "/readyz", token="").status == 200)
        # The tests of a module share a project and pin more than ten.
        self.call("PATCH", "/v1/projects/default?update_mask=pinnedLimit", {"pinnedLimit": 100})
        return self

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(60)

    def close(self) -> None:
        """Deletes every node, then stops: nothing may be left behind."""
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.start()
        self.clear()

    def clear(self) -> None:
        """Deletes every alias and node of the server that runs and stops it, also when they can't be deleted."""
        try:
            paths = [f"/v1/aliases/{alias['id']}" for alias in self.get("/v1/aliases")["aliases"]]
            paths += [f"/v1/nodes/{node['id']}" for node in self.get("/v1/nodes")["nodes"]]
            told = [self.call("DELETE", path) for path in paths]
            try:
                wait_for("all nodes are gone", lambda: not self.get("/v1/nodes")["nodes"])
            except AssertionError as error:
                left = [(node["name"], self.status(node["id"])) for node in self.get("/v1/nodes")["nodes"]]
                raise AssertionError(f"{error}: {left}, {told}, end of the log: {self.log.read_text()[-3000:]}") from None
        finally:
            ended = self.stop()
        assert ended == 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ROOST_URL": self.url, "ROOST_TOKEN_FILE": str(self.data / "admin.token"), "NO_COLOR": "1"}

    def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = dict(headers or {})
        token = self.token if token is None else token
        if token:
            sent["authorization"] = f"Bearer {token}"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        except OSError:
            return Answer(0, {}, b"")
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status == 200, answer
        return answer.json

    @property
    def folder(self) -> str:
        return str(self.get("/v1/folders")["folders"][0]["id"])

    def execute(self, node: str, values: dict[str, Any], **extra: Any) -> Answer:
        body = {"folder_id": self.folder, "input": values, **extra}
        return self.call("POST", f"/datasphere/v1/nodes/{node}:execute", body)

    def cli(self, *arguments: str | os.PathLike[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [BINARY, *arguments], env=self.environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def checkpoint(self, *cells: str, name: str) -> dict[str, Any]:
        """Runs a notebook through the real kernel and pins the checkpoint of its last cell."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        path = self.data.parent / f"{name}.ipynb"
        nbformat.write(notebook, path)
        self.cli("notebook", "run", path)
        newest = self.get("/v1/checkpoints")["checkpoints"][0]
        assert newest["cell"]["source"] == cells[-1]
        answer = self.call("POST", f"/v1/checkpoints/{newest['id']}:pin", {"name": name})
        assert answer.status == 200, answer
        return dict(answer.json)

    def node(
        self, name: str, *, inputs: list[str], outputs: list[str], checkpoint: str | None = None, wait: bool = True, **more: Any
    ) -> str:
        """Creates a node by REST and waits for its operation."""
        body = {
            "name": name, "checkpoint": checkpoint or name,
            "inputs": [dict(zip(("name", "type"), v.split(":"))) for v in inputs],
            "outputs": [dict(zip(("name", "type"), v.split(":"))) for v in outputs],
            **more,
        }  # fmt: skip
        answer = self.call("POST", "/v1/nodes", body)
        assert answer.status == 202, answer
        if wait:
            operation = self.finished(answer.json["id"])
            assert "error" not in operation, operation["error"]
        return str(answer.json["resourceId"])

    def finished(self, operation: str, seconds: float = 60) -> dict[str, Any]:
        """The operation once it is done."""

        def done() -> Any:
            found = self.get(f"/v1/operations/{operation}")
            return found if found["done"] else None

        return dict(wait_for(f"operation {operation}", done, seconds))

    def status(self, node: str) -> dict[str, Any]:
        return dict(self.get(f"/v1/nodes/{node}")["status"])

    def instances(self, node: str) -> list[dict[str, Any]]:
        return list(self.get(f"/v1/nodes/{node}/instances")["instances"])

    def healthy(self, node: str, count: int) -> list[dict[str, Any]]:
        """Waits until exactly `count` instances are there, all healthy."""

        def level() -> Any:
            found = self.instances(node)
            good = len(found) == count and all(i["status"] == "HEALTHY" for i in found)
            return found if good and self.status(node)["status"] == "HEALTHY" else None

        return list(wait_for(f"{count} healthy instances", level))

    def logs(self, node: str) -> list[dict[str, Any]]:
        return list(self.get(f"/v1/nodes/{node}/logs?tail=1000")["lines"])


def servers(kind: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Makes servers of one test, each with a new data folder, and closes them after it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    made: list[Any] = []

    def make(*flags: str) -> Any:
        server = kind(folder / f"data{len(made)}", *flags)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_server() -> Iterator[Callable[..., Roost]]:
    """Servers of one test, each with a new data folder."""
    yield from servers(Roost)


@pytest.fixture
def make_upgradable() -> Iterator[Callable[..., Upgradable]]:
    """The same, of servers whose process changes."""
    from upgrading import Upgradable

    yield from servers(Upgradable)


@pytest.fixture(scope="module")
def roost() -> Iterator[Roost]:
    """One server for the tests of a module."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    server = Roost(folder / "data").start()
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


def send_signal(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


if not BINARY.exists():
    sys.exit("bin/roost is missing: run make build")
