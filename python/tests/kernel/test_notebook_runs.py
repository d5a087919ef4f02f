"""Notebooks run headlessly through the real kernel; a server with the upload API takes the checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import nbformat
import pytest
from checkpoint_server import CheckpointServer, digests_of

import roost

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def variables_of(manifest: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """The variables of a checkpoint by name."""
    return {variable["name"]: variable for variable in manifest["variables"]}


def test_every_executed_cell_gets_its_checkpoint(run: Run, server: CheckpointServer) -> None:
    done = run(path=EXAMPLES / "randomizer" / "randomizer.ipynb")
    assert done.returncode == 0, done.stderr
    first, second = server.checkpoints
    assert [one["cell"]["executionCount"] for one in (first, second)] == [1, 2]
    assert first["cell"]["notebook"] == "randomizer.ipynb"
    assert first["cell"]["source"] == "input_data = dict(left_bound=1, right_bound=10)"
    assert variables_of(second)["input_data"]["type"] == "builtins.dict"
    assert {"input_data", "output_data", "generate_value", "randint", "seed"} <= set(variables_of(second))
    assert not set(variables_of(second)) & {"In", "Out", "get_ipython", "_", "exit", "quit", "open"}
    analysis = second["analysis"]
    assert [use["name"] for use in analysis["uses"]] == ["input_data"]
    assert [store["name"] for store in analysis["stores"]] == [
        "randint",
        "seed",
        "generate_value",
        "output_data",
    ]
    assert analysis["unresolved"] == analysis["dynamic"] == analysis["shell"] == []
    assert second["example"] == {"input_data": {"left_bound": 1, "right_bound": 10}}
    for label in ("[1] checkpoint chk", "[2] checkpoint chk"):
        assert label in done.stdout
    assert "ms pause" in done.stdout


def test_unchanged_state_uploads_nothing_new(run: Run, server: CheckpointServer) -> None:
    done = run(
        "import numpy, pandas\na = numpy.arange(100_000)\nt = pandas.DataFrame({'x': a, 'y': ['q'] * len(a)})\n"
        "words = {'one', 'two', 'three'}\ndef f(v):\n  return a[v]\nclass C:\n  def m(self):\n    return f(1)\nc = C()",
        "0",
        "None",
    )
    assert done.returncode == 0, done.stderr
    first, second, third = server.checkpoints
    assert set(digests_of(third)) <= set(digests_of(second)) <= set(digests_of(first))
    assert len(server.put) == len(set(digests_of(first)))


def test_a_large_buffer_is_uploaded_in_chunks(run: Run, server: CheckpointServer) -> None:
    done = run("import numpy\nbig = numpy.arange(2_500_000)")
    assert done.returncode == 0, done.stderr
    assert [len(upload) for upload in server.uploads.values()] == [20_000_000]


def test_an_unsaved_variable_is_named_and_the_rest_is_saved(run: Run, server: CheckpointServer) -> None:
    done = run(path=EXAMPLES / "refused" / "unsaved-variable.ipynb")
    assert done.returncode == 0, done.stderr
    error = server.checkpoints[-1]["errors"][0]
    assert error["name"] == "settings"
    assert error["where"] == "settings['stores'][0]['connection']"
    assert error["culprit"] == "sqlite3.Connection"
    assert error["reason"] and error["hint"]
    assert "key" in variables_of(server.checkpoints[-1])
    assert "settings" in [use["name"] for use in server.checkpoints[-1]["analysis"]["uses"]]
    assert done.stdout.count("settings['stores'][0]['connection']") == 1  # said once, not at every cell


def test_a_failing_cell_ends_the_run_and_earlier_checkpoints_stay(run: Run, server: CheckpointServer) -> None:
    done = run("a = 1", "b = a / 0", "c = 1")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert [one["cell"]["source"] for one in server.checkpoints] == ["a = 1"]


def test_a_cell_that_takes_too_long_is_said(run: Run) -> None:
    done = run("import time\ntime.sleep(60)", options=["--timeout", "1"])
    assert done.returncode == 1
    assert "longer than 1 s" in done.stderr


def test_the_executed_notebook_is_written(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.ipynb"
    done = run("print('hello')", options=["--output", str(target)])
    assert done.returncode == 0, done.stderr
    assert nbformat.read(target, as_version=4).cells[0].outputs[0].text == "hello\n"


def test_a_missing_notebook_is_said(run: Run, tmp_path: Path) -> None:
    done = run(path=tmp_path / "none.ipynb")
    assert done.returncode == 2
    assert "none.ipynb" in done.stderr


def test_a_server_that_refuses_is_said_and_cells_still_run(run: Run, server: CheckpointServer) -> None:
    server.refuse = 507
    done = run("a = 1", "print(a)")
    assert done.returncode == 1
    assert "the disk is full" in done.stdout + done.stderr
    assert server.checkpoints == []


def test_a_wrong_token_is_said(run: Run) -> None:
    done = run("a = 1", ROOST_TOKEN="other")
    assert done.returncode == 1
    assert "the token is not valid" in done.stdout + done.stderr


def test_a_server_that_cannot_be_reached_is_said(run: Run) -> None:
    done = run("a = 1", ROOST_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stdout + done.stderr


def test_a_pin_magic_names_the_last_checkpoint(run: Run, server: CheckpointServer) -> None:
    done = run("a = 1", "%roost pin first-model")
    assert done.returncode == 0, done.stderr
    assert server.pins == [{"id": "chk00000000000000001", "name": "first-model"}]
    assert len(server.checkpoints) == 1


def test_manual_saving_saves_on_command_only(run: Run, server: CheckpointServer) -> None:
    done = run("%roost save manual", "a = 1", "b = 2", "%roost checkpoint", "c = 3")
    assert done.returncode == 0, done.stderr
    assert [one["cell"]["source"] for one in server.checkpoints] == ["b = 2"]


def test_magics_are_saved_as_the_user_typed_them(run: Run, server: CheckpointServer) -> None:
    done = run(path=EXAMPLES / "refused" / "shell-command.ipynb")
    assert done.returncode == 0, done.stderr
    manifest = server.checkpoints[-1]
    assert manifest["cell"]["source"].startswith("!echo")
    assert "get_ipython()" in manifest["cell"]["code"]
    assert manifest["analysis"]["shell"] == [{"text": "!echo listing", "line": 1}]


def test_modules_are_saved_by_name_and_local_ones_with_their_source(
    run: Run, server: CheckpointServer, tmp_path: Path
) -> None:
    (tmp_path / "mylib.py").write_text("def double(x):\n    return 2 * x\n")
    done = run("import mylib, json\ny = mylib.double(2)")
    assert done.returncode == 0, done.stderr
    manifest = server.checkpoints[0]
    assert variables_of(manifest)["json"]["module"] == "json"
    (module,) = manifest["localModules"]
    assert module["name"] == "mylib"
    assert server.blobs[module["source"]["digest"]] == (tmp_path / "mylib.py").read_bytes()


STATIC: Dict[str, Callable[[Dict[str, Any]], bool]] = {
    "overwritten-input": lambda found: "request" in [one["name"] for one in found["stores"]],
    "unknown-name": lambda found: "factor" in [one["name"] for one in found["unresolved"]],
}


@pytest.mark.parametrize("name", STATIC)
def test_the_examples_to_refuse_show_why(run: Run, server: CheckpointServer, name: str) -> None:
    done = run(path=EXAMPLES / "refused" / f"{name}.ipynb")
    assert done.returncode == 0, done.stderr
    assert STATIC[name](server.checkpoints[-1]["analysis"])


@pytest.mark.parametrize("name", ["classifier", "features", "counter", "async-cell"])
def test_the_examples_run(run: Run, server: CheckpointServer, name: str) -> None:
    done = run(path=EXAMPLES / name / f"{name}.ipynb")
    assert done.returncode == 0, done.stderr
    manifest = server.checkpoints[-1]
    assert manifest["errors"] == []
    assert manifest["analysis"]["unresolved"] == []
    assert manifest["analysis"]["isAsync"] == (name == "async-cell")


RESTORE = """
import sys
from roost.worker.config import Config
from roost.worker.restore import Restorer
folder = sys.argv[1]
config = Config("n", 1, folder + "/manifest.json", folder, folder, folder + "/log", restore=sys.argv[2])
restorer = Restorer(config)
restorer.restore()
exec(restorer.cell["code"], restorer.namespace)
print(restorer.namespace["visits"], restorer.namespace["counter"])
"""


@pytest.mark.parametrize("restore", ["reachable", "full"])
def test_a_checkpoint_is_restored_by_the_worker(
    run: Run, server: CheckpointServer, tmp_path: Path, restore: str
) -> None:
    done = run(path=EXAMPLES / "counter" / "counter.ipynb")
    assert done.returncode == 0, done.stderr
    (tmp_path / "manifest.json").write_text(json.dumps(server.checkpoints[-1]))
    for digest, data in server.blobs.items():
        (tmp_path / digest.partition(":")[2]).write_bytes(data)
    sources = str(Path(roost.__file__).resolve().parents[1])
    command = [sys.executable, "-c", RESTORE, str(tmp_path), restore]
    restored = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": sources},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout == "2\n2 2\n"  # what the cell prints, then the state it left
