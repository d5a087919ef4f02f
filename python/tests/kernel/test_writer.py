"""The writer saves in order, in the background, and tells of each checkpoint once."""

from __future__ import annotations

import importlib
import os
import resource
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy
import pytest
from checkpoint_server import TOKEN, CheckpointServer

from roost.checkpoint.capture import Cell
from roost.checkpoint.writer import Saved, Writer
from roost.client import Client


def cell(number: int) -> Cell:
    """A cell that the writer saves."""
    return Cell(f"x = {number}", f"x = {number}", number)


def finish(writer: Writer) -> List[Saved]:
    """Waits for all checkpoints under way."""
    told: List[Saved] = writer.reap()
    for saved in list(writer.under_way):
        assert saved.poll(30)
    return told + writer.reap()


def test_checkpoints_are_registered_in_order_and_told_once(server: CheckpointServer) -> None:
    namespace: Dict[str, Any] = {"big": numpy.zeros(2_000_000)}
    writer = Writer(namespace, Client(server.url, TOKEN))
    for number in range(1, 8):
        namespace["x"] = number
        writer.save({}, cell(number))
    told = finish(writer)
    assert [saved.cell.execution_count for saved in told] == [1, 2, 3, 4, 5, 6, 7]
    assert [manifest["cell"]["executionCount"] for manifest in server.checkpoints] == [1, 2, 3, 4, 5, 6, 7]
    assert writer.reap() == []


def test_a_change_after_the_pause_is_not_in_the_checkpoint(server: CheckpointServer) -> None:
    namespace: Dict[str, Any] = {"big": numpy.zeros(2_000_000)}
    writer = Writer(namespace, Client(server.url, TOKEN))
    writer.save({}, cell(1))
    namespace["big"][:] = 1.0  # the child has its own copy of the memory
    finish(writer)
    (group,) = server.checkpoints[0]["groups"]
    assert server.blobs[group["buffers"][0]["digest"]] == bytes(16_000_000)


def test_a_refusal_is_in_the_result(server: CheckpointServer) -> None:
    server.refuse = 507
    writer = Writer({"x": 1}, Client(server.url, TOKEN))
    writer.save({}, cell(1))
    (saved,) = finish(writer)
    assert saved.result is not None
    assert saved.result["error"] == "the disk is full"


def test_a_process_with_many_open_files_can_save(server: CheckpointServer) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1200:
        pytest.skip("the limit of open files is below 1200")
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        writer = Writer({"x": 1}, Client(server.url, TOKEN))
        writer.save({}, cell(1))
        (saved,) = finish(writer)
        assert saved.result is not None and "checkpoint" in saved.result
    finally:
        for fd in kept:
            os.close(fd)


def test_an_edit_of_an_imported_module_does_not_change_its_source(
    server: CheckpointServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "pinned_library.py"
    file.write_text("VALUE = 1\n")
    module = importlib.import_module("pinned_library")
    try:
        writer = Writer({"x": 1}, Client(server.url, TOKEN))
        sources = []
        for number, text in enumerate(("VALUE = 1\n", "VALUE = 22\n", "VALUE = 22\n")):
            file.write_text(text)
            if number == 2:
                importlib.reload(module)
            writer.save({}, cell(number))
            finish(writer)
            (local,) = server.checkpoints[-1]["localModules"]
            sources.append(server.blobs[local["source"]["digest"]])
        assert sources == [b"VALUE = 1\n", b"VALUE = 1\n", b"VALUE = 22\n"]
    finally:
        sys.modules.pop("pinned_library")
