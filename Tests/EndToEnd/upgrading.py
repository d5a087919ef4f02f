"""A server whose process changes, and servers for address nodes that speak every protocol."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
from typing import Any

from conftest import BINARY, ROOT, Roost, send_signal, wait_for


class App:
    """`Tests/Engine/testapp.py` as a process."""

    def __init__(self, name: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        environment = {**os.environ, "PORT": str(self.port), "NAME": name}
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "Tests" / "Engine" / "testapp.py"], env=environment, stdout=subprocess.DEVNULL
        )
        wait_for(f"the application {name}", self._listens, 30)

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def make_address_node(server: Roost, name: str, apps: list[App], kind: str = "http") -> str:
    check = {"type": "http", "path": "/health", "timeoutSeconds": 5, "intervalSeconds": 1, "failsThreshold": 3, "passesThreshold": 1}
    body = {
        "name": name, "kind": "address", "addresses": [{"address": f"127.0.0.1:{app.port}"} for app in apps],
        "endpoint": {"type": kind}, "healthCheck": check,
    }  # fmt: skip
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    node = str(answer.json["resourceId"])
    server.healthy(node, len(apps))
    return node


def is_running(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Upgradable(Roost):
    """A server of which another process may take over; `pid` is that of the one that serves."""

    pid = 0

    def start(self) -> Upgradable:
        super().start()
        assert self.process
        self.pid = self.process.pid
        return self

    def upgrade(self, *flags: str, check: bool = True) -> tuple[int, dict[str, Any]]:
        """Exit code and report."""
        done = subprocess.run(
            [BINARY, "upgrade", "--data", self.data, "-o", "json", *flags], capture_output=True, text=True, timeout=200
        )
        assert not check or done.returncode == 0, (done.stderr, self.log.read_text()[-3000:])
        report = json.loads(done.stdout) if done.stdout else {"message": done.stderr}
        if done.returncode == 0:
            self.pid = report["pid"]
        return done.returncode, report

    def follow(self) -> int:
        """Asks which process serves, when something else than `upgrade` changed it."""
        self.pid = int(self.get("/v1/server")["pid"])
        return self.pid

    def stop(self) -> int:
        assert self.process
        if self.pid == self.process.pid:
            return super().stop()
        if is_running(self.pid):
            send_signal(self.pid, 15)
            wait_for("the process ends", lambda: not is_running(self.pid), 60)
        # The first process may still drain.
        if self.process.poll() is None:
            self.process.terminate()
        return 0 if self.process.wait(60) == 0 else 1

    def close(self) -> None:
        if self.process is not None and self.pid != self.process.pid and is_running(self.pid):
            # Not started anew by the base class, which looks at the first process.
            self.clear()
        else:
            super().close()
