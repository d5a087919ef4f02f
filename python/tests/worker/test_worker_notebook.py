"""Checkpoints that the notebook side really made, restored by a real zygote."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from worker_harness import SOURCES, Checkpoint

# Runs cells as a notebook does, in `__main__`, and writes blobs and manifest of the last one.
NOTEBOOK = """\
import hashlib, json, sys
folder, cells = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, sys.argv[3])
from roost.checkpoint.capture import Cell, capture, raw, with_digests
own = sys.modules["__main__"]
sys.modules["__main__"] = type(sys)("__main__")
main = sys.modules["__main__"].__dict__
initial = dict(main)
for cell in cells:
    exec(compile(cell, "<cell>", "exec"), main)
captured = capture(main, initial, Cell(cells[-1], cells[-1], len(cells)))
digests = []
for blob in captured.blobs:
    data = bytes(raw(blob))
    name = hashlib.sha256(data).hexdigest()
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)
    digests.append("sha256:" + name)
with open(f"{folder}/../saved.json", "w") as file:
    json.dump(with_digests(captured, digests), file)
"""


@pytest.fixture
def notebook(checkpoint):
    """Runs cells; the checkpoint is that of the last one."""

    def run(*cells: str) -> Checkpoint:
        made = checkpoint(cells[-1])
        arguments = [str(made.blobs), json.dumps(cells), str(SOURCES)]
        subprocess.run([sys.executable, "-c", NOTEBOOK, *arguments], check=True, timeout=60)
        made.manifest = json.loads((made.blobs.parent / "saved.json").read_text())
        return made

    return run


def test_functions_of_the_notebook_change_the_live_namespace(notebook, zygote):
    made = notebook(
        "counter = 0",
        "def bump():\n    global counter\n    counter += 1\n    return counter\n",
        "out = [bump(), counter]",
    )
    running = zygote(made)
    assert set(running.op("info")["restored"]) == {"bump", "counter"}
    client = running.start()
    client.call({})
    assert client.call({}) == {"out": [3, 3]}  # the notebook's own run was the first


def test_classes_closures_and_what_they_reach_come_along(notebook, zygote):
    made = notebook(
        "import math\nscale = 3\nunused = list(range(10))\ndef helper(x): return math.floor(x) * scale",
        "class Model:\n    def predict(self, x): return helper(x)\nmodels = {'a': [Model()]}",
        "out = models['a'][0].predict(2.5)",
    )
    running = zygote(made)
    restored = set(running.op("info")["restored"])
    assert {"models", "helper", "scale", "math"} <= restored and not restored & {"unused", "out"}
    assert running.start().call({}) == {"out": 6}


def test_aliases_survive_and_large_arrays_are_buffers(notebook, zygote):
    made = notebook(
        "import numpy as np\na = np.zeros(100_000)\nb = {'same': a}",
        "a[0] += 1\nout = [bool(a is b['same']), float(b['same'][0])]",
    )
    assert any(group["buffers"] for group in made.manifest["groups"])
    client = zygote(made).start()
    assert client.call({}) == {"out": [True, 2.0]}
    assert client.call({}) == {"out": [True, 3.0]}


def test_cached_functions_enums_and_dataclasses_work_again(notebook, zygote):
    made = notebook(
        "import functools, enum, dataclasses\n"
        "@functools.lru_cache(maxsize=None)\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
        "class Kind(enum.Enum):\n    A = 'a'\n"
        "@dataclasses.dataclass\nclass Row:\n    kind: Kind\nrow = Row(Kind.A)",
        "out = [fib(30), row.kind is Kind.A, isinstance(row, Row)]",
    )
    assert zygote(made).start().call({}) == {"out": [832040, True, True]}


def test_a_variable_that_was_not_saved_leaves_the_rest_alone(notebook, zygote):
    made = notebook("import sqlite3\ndb = sqlite3.connect(':memory:')\nx = 5", "out = x + 1")
    assert [error["name"] for error in made.manifest["errors"]] == ["db"]
    assert zygote(made).start().call({}) == {"out": 6}
