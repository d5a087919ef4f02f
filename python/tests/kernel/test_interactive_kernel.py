"""The kernel as JupyterLab uses it: cells go on while checkpoints are saved, and problems are told at the cell."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from checkpoint_server import TOKEN, CheckpointServer
from jupyter_client.manager import KernelManager

import roost

Start = Callable[..., Callable[[str], str]]


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Polls until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.01)


@pytest.fixture
def start(server: CheckpointServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a kernel; gives a function that runs a cell and returns what it printed."""
    stops: List[Callable[[], None]] = []

    def begin(**environment: str) -> Callable[[str], str]:
        manager = KernelManager()
        manager.kernel_spec.argv = [sys.executable, "-m", "roost.kernel", "-f", "{connection_file}"]
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("ROOST_")}
        manager.start_kernel(
            cwd=str(tmp_path),
            env={
                **inherited,
                "PYTHONPATH": str(Path(roost.__file__).resolve().parents[1]),
                "IPYTHONDIR": str(tmp_path / "ipython"),
                "JPY_SESSION_NAME": "/home/me/lab.ipynb",
                "ROOST_URL": server.url,
                "ROOST_TOKEN": TOKEN,
                **environment,
            },
        )
        client = manager.blocking_client()
        client.start_channels()

        def stop() -> None:
            server.gate.set()
            client.stop_channels()
            manager.shutdown_kernel()
            manager.cleanup_resources()

        stops.append(stop)
        client.wait_for_ready(timeout=60)

        def execute(code: str) -> str:
            printed: List[str] = []

            def take(message: Any) -> None:
                if message["header"]["msg_type"] == "stream":
                    printed.append(message["content"]["text"])
                elif message["header"]["msg_type"] == "display_data":
                    printed.append(message["content"]["data"]["text/plain"])

            client.execute_interactive(code, timeout=60, output_hook=take)
            return "".join(printed)

        return execute

    yield begin
    for stop in stops:
        stop()


def test_a_cell_is_saved_in_the_background(start: Start, server: CheckpointServer) -> None:
    execute = start()
    execute("a = 1")
    eventually(lambda: len(server.checkpoints) == 1)
    assert server.checkpoints[0]["cell"]["notebook"] == "lab.ipynb"


def test_a_slow_server_does_not_stop_the_user_and_the_newest_cell_wins(
    start: Start, server: CheckpointServer
) -> None:
    execute = start()
    server.gate.clear()
    for number in range(10):
        execute(f"a = {number}")  # would run into its timeout if a cell waited for the server
    assert server.checkpoints == []
    server.gate.set()
    eventually(lambda: server.checkpoints and server.checkpoints[-1]["cell"]["source"] == "a = 9")
    sources = [one["cell"]["source"] for one in server.checkpoints]
    assert sources == sorted(sources)
    assert len(sources) < 10


def test_an_unsaved_variable_is_named_at_the_cell_once(start: Start) -> None:
    execute = start()
    said = execute("import threading\nbox = {'lock': threading.Lock()}")
    assert "box['lock']" in said and "_thread.lock" in said
    assert execute("b = 2") == ""


def test_without_a_server_cells_run_and_one_line_says_so(start: Start) -> None:
    execute = start(ROOST_URL="")
    assert execute("a = 1").count("\n") == 1
    assert execute("print(a)") == "1\n"


def test_status_tells_the_server_and_the_last_checkpoint(start: Start, server: CheckpointServer) -> None:
    execute = start()
    execute("a = 1")
    eventually(lambda: len(server.checkpoints) == 1)
    said = execute("%roost status")
    assert server.url in said
    assert "auto" in said
