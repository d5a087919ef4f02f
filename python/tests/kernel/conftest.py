"""A checkpoint server and notebooks run through the real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import nbformat
import pytest
from checkpoint_server import TOKEN, CheckpointServer

import roost


@pytest.fixture
def server() -> Iterator[CheckpointServer]:
    """A checkpoint server of this test."""
    running = CheckpointServer()
    yield running
    running.stop()


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(server: CheckpointServer, tmp_path: Path) -> Run:
    """Runs a notebook, given as a path or as its cells, with `python -m roost.notebook run`."""

    def start(*cells: str, path: Any = None, options: Any = (), **environment: str) -> Any:
        if path is None:
            path = tmp_path / "notebook.ipynb"
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            nbformat.write(notebook, path)
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("ROOST_")}
        settings = {
            **inherited,
            "PYTHONPATH": str(Path(roost.__file__).resolve().parents[1]),
            "ROOST_URL": server.url,
            "ROOST_TOKEN": TOKEN,
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            **environment,
        }
        command = [sys.executable, "-m", "roost.notebook", "run", str(path), *options]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)

    return start
