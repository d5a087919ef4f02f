"""A checkpoint holds code of one minor version of Python: another one refuses it and says what to do."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Roost, wait_for

OURS = "%d.%d" % sys.version_info[:2]
CELLS = "def double(x):\n    return 2 * x\nn = 4", "doubled = double(n)"


def another_python() -> str | None:
    """An interpreter of another minor version, on PATH or of pyenv."""
    versions = [f"3.{minor}" for minor in range(9, 14) if f"3.{minor}" != OURS]
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{v}") for v in versions]
    candidates += [str(path) for v in versions for path in pyenv.glob(f"{v}.*/bin/python{v}")]
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True)
        if done.returncode == 0:  # pyenv has a shim for versions that are not chosen too
            return done.stdout.strip()
    return None


def refused(roost: Roost, name: str, checkpoint: str) -> dict[str, Any]:
    """Creates a node that can't be restored; its last error, told by the operation too."""
    body = {
        "name": name, "checkpoint": checkpoint,
        "inputs": [{"name": "n", "type": "int"}], "outputs": [{"name": "doubled", "type": "int"}],
    }  # fmt: skip
    answer = roost.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    operation = roost.finished(answer.json["id"])
    error = dict(wait_for("lastError", lambda: roost.status(answer.json["resourceId"]).get("lastError")))
    assert error["message"] in operation["error"]["message"], operation
    assert error["phase"] == "restore", error
    refusal = roost.execute(answer.json["resourceId"], {"n": 1})
    assert refusal.status == 503 and error["message"] in refusal.json["message"], refusal
    assert error["message"] in roost.cli("node", "describe", name).stdout
    return error


def test_a_checkpoint_of_another_minor_version_is_refused_with_both_versions_and_the_fix(roost: Roost) -> None:
    made = roost.checkpoint(*CELLS, name="doubler")
    manifest = json.loads((roost.data / "registry/blobs/sha256" / made["manifestDigest"].rpartition(":")[2]).read_text())
    manifest["python"]["version"] = "3.8.2"
    answer = roost.call("POST", "/v1/projects/default/checkpoints", {"manifest": manifest})
    assert answer.status == 201, answer
    older = answer.json["id"]
    assert roost.get(f"/v1/checkpoints/{older}")["pythonVersion"] == "3.8.2"
    assert roost.call("POST", f"/v1/checkpoints/{older}:pin", {"name": "older"}).status == 200
    message = refused(roost, "older", "older")["message"]
    here = ".".join(map(str, sys.version_info[:3]))
    assert f"was made by Python 3.8.2, nodes of this server run Python {here}:" in message
    assert f"run the cell in a kernel with Python {OURS}" in message
    assert message.endswith("or start the server with `roost serve --python` and a Python 3.8")
    node = roost.node("doubler", inputs=["n:int"], outputs=["doubled:int"])
    assert roost.execute(node, {"n": 21}).json["output"] == {"doubled": 42}


def test_an_interpreter_of_another_minor_version_refuses_the_checkpoint_and_the_fix_works(
    make_server: Callable[..., Roost],
) -> None:
    other = another_python()
    if other is None:
        pytest.skip("this machine has no second minor version of Python 3.9 to 3.13")
    server = make_server()
    server.checkpoint(*CELLS, name="doubler")
    assert server.stop() == 0
    server.flags = ("--python", other)
    server.start()
    message = refused(server, "doubler", "doubler")["message"]
    version = subprocess.run([other, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True)
    assert f"was made by Python {OURS}." in message and f"nodes of this server run Python {version.stdout.strip()}:" in message
    assert server.stop() == 0
    server.flags = ("--python", sys.executable)
    server.start()
    node = server.get("/v1/nodes")["nodes"][0]["id"]
    server.healthy(node, 1)
    assert server.execute(node, {"n": 21}).json["output"] == {"doubled": 42}
