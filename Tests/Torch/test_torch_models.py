"""TorchScript and Keras models as nodes: saved, deployed, called by stock clients through the gateway.

Run by scripts/check-torch: torch is too large for every run. Keras computes with torch here.
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "EndToEnd"))
os.environ["ROOST_PYTHON"] = sys.executable
os.environ["KERAS_BACKEND"] = "torch"

from conftest import Roost, roost, wait_for  # noqa: E402, F401 (a fixture)

ROWS = numpy.arange(24, dtype="float32").reshape(3, 8) / 10


def net() -> Any:
    """A small network of torch."""
    import torch

    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)).eval()


def torchscript(path: pathlib.Path) -> Any:
    """Writes a scripted network; what it answers."""
    import torch

    module = net()
    torch.jit.script(module).save(str(path))
    with torch.inference_mode():
        return module(torch.from_numpy(ROWS)).numpy()


def keras_saved(path: pathlib.Path) -> Any:
    """Writes a network of Keras; what it answers."""
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")])
    model.save(path)
    return keras.ops.convert_to_numpy(model(ROWS, training=False))


def deploy(roost: Roost, *models: str) -> str:
    """A node of models, healthy; its id."""
    body = {"name": models[0], "kind": "model", "model": {"names": list(models)}, "cpus": 2, "memoryBytes": 3 << 30}
    operation = roost.finished(roost.call("POST", "/v1/nodes", body).json["id"], 180)
    assert "error" not in operation, operation
    return str(next(node["id"] for node in roost.get("/v1/nodes")["nodes"] if node["name"] == models[0]))


def infer(roost: Roost, node: str, model: str, package: Any, rows: Any = ROWS) -> Any:
    """All of the model's only output, asked for by the names that the server tells."""
    client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
    told = roost.get(f"/v1/models/{model}")
    try:
        asked = package.InferInput(told["inputs"][0]["name"], rows.shape, "FP32")
        asked.set_data_from_numpy(rows)
        headers = {"authorization": f"Bearer {roost.token}", "x-node-id": node}
        return client.infer(model, [asked], headers=headers).as_numpy(told["outputs"][0]["name"])
    finally:
        client.close()


@pytest.mark.parametrize("kind", ["torchscript", "keras-saved", "keras-h5"])
def test_a_saved_network_answers_through_the_gateway_as_it_does_at_home(
    roost: Roost, tmp_path: pathlib.Path, kind: str  # noqa: F811
) -> None:
    path = tmp_path / {"torchscript": "net.pt", "keras-saved": "net.keras", "keras-h5": "net.h5"}[kind]
    expected = torchscript(path) if kind == "torchscript" else keras_saved(path)
    given = ["--input", "x:FP32[-1,8]", "--output", "y:FP32[-1,3]"] if kind == "torchscript" else []
    if given:
        refused = roost.cli("model", "upload", path, "--name", kind, check=False)
        assert refused.returncode != 0 and "give inputs and outputs, or an example" in refused.stderr, refused
    roost.cli("model", "upload", path, "--name", kind, *given)
    known = roost.get(f"/v1/models/{kind}")
    assert known["kind"] == ("torchscript" if given else "keras-saved")
    assert known["inputs"][0]["shape"] == [-1, 8] and known["outputs"][0]["shape"] == [-1, 3]
    node = deploy(roost, kind)
    for package in (tritonclient.http, tritonclient.grpc):
        numpy.testing.assert_allclose(infer(roost, node, kind, package), expected, rtol=1e-4, atol=1e-6)
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_a_network_with_a_wrong_signature_is_the_last_error_of_its_node(roost: Roost, tmp_path: pathlib.Path) -> None:  # noqa: F811
    torchscript(tmp_path / "net.pt")
    given = ["--input", "x:FP32[-1,7]", "--output", "y:FP32[-1,3]"]
    roost.cli("model", "upload", tmp_path / "net.pt", "--name", "narrow", *given)
    body = {"name": "narrow", "kind": "model", "model": {"names": ["narrow"]}, "cpus": 2, "memoryBytes": 3 << 30}
    operation = roost.finished(roost.call("POST", "/v1/nodes", body).json["id"], 180)
    assert "cannot be multiplied (1x7 and 8x16)" in operation["error"]["message"], operation
    roost.call("DELETE", "/v1/nodes/narrow")


def test_a_notebook_deploys_a_network_in_one_line(roost: Roost) -> None:  # noqa: F811
    roost.checkpoint(
        "import torch\ntorch.manual_seed(1)\n"
        "module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)).eval()\n"
        "net = torch.jit.trace(module, torch.ones(1, 8))",
        "%roost deploy-model net --name traced --input 'x:FP32[-1,8]' --output 'y:FP32[-1,3]'",
        "done = True",
        name="torch-model",
    )
    import torch

    node = next(n["id"] for n in roost.get("/v1/nodes")["nodes"] if n["name"] == "traced")
    roost.healthy(node, 1)
    with torch.inference_mode():
        expected = net()(torch.from_numpy(ROWS)).numpy()
    numpy.testing.assert_allclose(infer(roost, node, "traced", tritonclient.http), expected, rtol=1e-4, atol=1e-6)
    roost.call("DELETE", f"/v1/nodes/{node}")
