"""Fixtures: a checkpoint maker and zygotes that end with the test."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from worker_harness import SOURCES, Checkpoint, Client, Zygote

sys.path.insert(0, str(SOURCES))  # this tree's sources, whatever is installed


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: unix sockets allow 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rw") as path:
        yield Path(path)


@pytest.fixture
def checkpoint(folder: Path) -> Callable[[str], Checkpoint]:
    """Makes checkpoints for a cell."""
    count = itertools.count()
    return lambda code: Checkpoint(folder / f"checkpoint{next(count)}", code)


@pytest.fixture
def zygote(folder: Path) -> Iterator[Callable[..., Zygote]]:
    """Starts zygotes."""
    started: list[Zygote] = []

    def start(checkpoint: Checkpoint, **config: Any) -> Zygote:
        home = folder / f"z{len(started)}"
        home.mkdir()
        started.append(Zygote(home, checkpoint, **config))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def cell(checkpoint: Callable[[str], Checkpoint], zygote: Callable[..., Zygote]) -> Callable[..., Client]:
    """One instance of a cell that needs no checkpointed variable."""

    def start(code: str, **config: Any) -> Client:
        inputs = config.pop("inputs", {})
        config["inputs"] = [{"name": name, "type": kind} for name, kind in inputs.items()]
        if "outputs" in config:
            config["outputs"] = [{"name": name, "type": kind} for name, kind in config["outputs"].items()]
        running = zygote(checkpoint(code), **config)
        client = running.start()
        client.zygote = running
        return client

    return start
