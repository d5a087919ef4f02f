"""Notebook namespaces for tests, and their restoration in a process that has never seen them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Dict, Iterable, List

import roost.worker
from roost.checkpoint.groups import dump_all
from roost.checkpoint.pickling import Dump

SOURCES = Path(roost.worker.__file__).resolve().parents[2]

_RESTORE = """
import base64, json, pickle, sys
given = json.loads(sys.stdin.read())
main = sys.modules["__main__"].__dict__
for group in given["groups"]:
    buffers = [bytearray(base64.b64decode(text)) for text in group["buffers"]]
    main.update(pickle.loads(base64.b64decode(group["stream"]), buffers=buffers))
exec(given["check"], main)
"""


def notebook(*cells: str) -> Dict[str, Any]:
    """Runs cells in a namespace that passes for `__main__`."""
    namespace = types.ModuleType("__main__").__dict__
    for number, cell in enumerate(cells):
        exec(compile(cell, f"<cell {number}>", "exec", dont_inherit=True), namespace)
    return namespace


def variables(namespace: Dict[str, Any]) -> Dict[str, Any]:
    """What a user would call the variables of the notebook."""
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("__") and not isinstance(value, types.ModuleType)
    }


def dumps_of(namespace: Dict[str, Any]) -> List[Dump]:
    """Streams of all variables; none may fail."""
    dumps, failures = dump_all(variables(namespace), namespace)
    assert not failures, failures
    return dumps


def restore_and_run(dumps: Iterable[Dump], check: str) -> None:
    """Loads the streams in a fresh process, as a worker would, and runs `check` in the restored namespace."""
    groups = [
        {
            "stream": base64.b64encode(made.stream).decode(),
            "buffers": [base64.b64encode(buffer.raw()).decode() for buffer in made.buffers],
        }
        for made in dumps
    ]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, "-c", _RESTORE],
        input=json.dumps({"groups": groups, "check": check}),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
