"""The zygote as process 1 of a sandbox, as nodes run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from worker_harness import SOURCES, Client, Control, eventually


@pytest.fixture
def sandboxed(folder, checkpoint):
    """A zygote that is PID 1 of a pid namespace without a network."""
    started = []

    def start(code):
        made = checkpoint(code)
        made.write()
        sockets = folder / "sock"
        sockets.mkdir()
        config = {
            "node": "nodtest", "release": 1, "manifest": str(made.path), "blobs": str(made.blobs),
            "sockets": str(sockets), "log": str(folder / "node.jsonl"), "outputs": [{"name": "out", "type": "any"}],
        }  # fmt: skip
        path = folder / "zygote.json"
        path.write_text(json.dumps(config))
        program = shutil.which("bwrap")
        assert program, "bubblewrap is needed: apt-get install bubblewrap"
        command = [
            program,
            "--dev-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--unshare-pid",
            "--unshare-net",
            "--as-pid-1",
        ]
        process = subprocess.Popen(
            [*command, "--die-with-parent", sys.executable, "-m", "roost.worker", str(path)],
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )
        started.append(process)
        eventually(lambda: (sockets / "zygote.sock").exists())
        return sockets

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_orphans_are_reaped_and_a_missing_network_is_explained(sandboxed):
    code = (
        "import os, socket\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n        os._exit(0)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "states = []\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try:\n        states.append(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0])\n"
        "    except OSError:\n        pass\n"
        "out = [os.getppid(), states.count('Z')]\n"
    )
    sockets = sandboxed(code)
    control = Control(sockets / "zygote.sock")
    assert control.ask({"op": "start", "instance": "ins1"})["pid"] > 1
    client = Client(Path(sockets / "ins1.sock"))
    client.begin()
    eventually(lambda: client.call({}) == {"out": [1, 0]})
    client.close()
    assert control.ask({"op": "shutdown"}) == {"ok": True}
    control.close()
    eventually(lambda: list(sockets.iterdir()) == [])


@pytest.mark.parametrize(
    "code",
    [
        "import socket\nsocket.create_connection(('192.0.2.1', 80))",
        "import urllib.request\nurllib.request.urlopen('http://example.invalid/')",
    ],
)
def test_a_cell_that_needs_the_network_is_told_about_the_subnet(sandboxed, code):
    sockets = sandboxed(code)
    control = Control(sockets / "zygote.sock")
    control.ask({"op": "start", "instance": "ins1"})
    client = Client(Path(sockets / "ins1.sock"))
    client.begin()
    error = client.call({})
    assert error.kind == "network" and "--subnet host" in error.message, error
    client.close()
    control.close()
