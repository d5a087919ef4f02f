"""The OpenAPI document of a node: a stock generator makes a client of it, and the client works."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Roost


@pytest.fixture
def client(roost: Roost, tmp_path: pathlib.Path) -> Iterator[Any]:
    """The package that the generator wrote for a node of several types."""
    roost.checkpoint(
        "import numpy as np\nx = np.ones((2, 2), 'float32')\nn = 2\nlabel = 'a'",
        "if n < 0: raise ValueError('n is negative')\ny = x * n\nsummary = {'label': label, 'total': float(y.sum())}",
        name="client-node",
    )
    node = roost.node(
        "client-node",
        inputs=["x:numpy.ndarray", "n:int", "label:str"],
        outputs=["y:numpy.ndarray", "summary:dict"],
    )
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(roost.get(f"/nodes/{node}/openapi.json")))
    command = [
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none",
        "--output-path", str(tmp_path / "node_client"), "--fail-on-warning",
    ]  # fmt: skip
    # The generator formats what it wrote with the ruff beside it.
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, "PATH": path}
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        yield importlib.import_module("node_client")
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.split(".")[0] == "node_client"]:
            del sys.modules[name]


def test_a_generated_client_calls_the_node(roost: Roost, client: Any) -> None:
    endpoints = list((pathlib.Path(client.__file__).parent / "api").glob("*/*.py"))
    (name,) = [path for path in endpoints if path.stem != "__init__"]
    execute = importlib.import_module(f"node_client.api.{name.parent.name}.{name.stem}")
    models = importlib.import_module("node_client.models")
    caller = client.AuthenticatedClient(base_url=roost.url, token=roost.token)
    inputs = {"x": [[1.0, 2.0], [3.0, 4.0]], "n": 3, "label": "b"}
    body = models.ExecuteRequest.from_dict({"folder_id": roost.folder, "input": inputs})
    answer = execute.sync_detailed(client=caller, body=body)
    assert answer.status_code == 200, answer
    output = answer.parsed.output
    assert output.y == [[3.0, 6.0], [9.0, 12.0]]
    assert output.summary.to_dict() == {"label": "b", "total": 30.0}
    failed = models.ExecuteRequest.from_dict({"folder_id": roost.folder, "input": {**inputs, "n": -1}})
    problem = execute.sync_detailed(client=caller, body=failed)
    assert problem.status_code == 500 and "n is negative" in problem.parsed.message, problem
