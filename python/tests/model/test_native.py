"""Models that Triton's own backends run: what is written for them, and that Triton can read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roost.model import repository, tritonserver
from roost.model.errors import ModelError

from .conftest import make_onnx


def tensor(name: str, *shape: int) -> Any:
    """As JSON."""
    return {"name": name, "datatype": "FP32", "shape": list(shape)}


def plan(kind: str, path: Path, inputs: Any, outputs: Any, **more: Any) -> repository.Plan:
    """A plan of a model in an image."""
    value = {"name": "m", "kind": kind, "file": "/run/roost/files/0", "readable": str(path), "native": True}
    return repository.plan_from({**value, "inputs": inputs, "outputs": outputs, **more})


def configuration(*versions: repository.Plan) -> str:
    """Of one model."""
    return repository.configuration(list(versions))


def test_onnx_is_run_by_onnxruntime_with_the_threads_of_the_instance(tmp_path: Path) -> None:
    path = make_onnx(tmp_path)
    told = repository.make(
        str(tmp_path / "r"), [plan("onnx", path, [tensor("x", -1, 4)], [tensor("y", -1, 4)], threads=3)]
    )
    text = (tmp_path / "r" / "m" / "config.pbtxt").read_text()
    assert 'backend: "onnxruntime"' in text and "max_batch_size: 64" in text
    assert 'name: "x" data_type: TYPE_FP32 dims: [ 4 ] }' in text
    assert 'key: "intra_op_thread_count" value: { string_value: "3" }' in text
    assert [entry.name for entry in (tmp_path / "r" / "m" / "1").iterdir()] == ["model.onnx"]
    assert (tmp_path / "r" / "m" / "1" / "model.onnx").readlink() == Path("/run/roost/files/0")
    assert told["usesPython"] is False


def test_a_list_of_the_graph_is_a_column_to_callers(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    sides = ([tensor("x", -1, 1)], [tensor("y", -1, 1)])
    assert "dims: [ 1 ] reshape { shape: [ ] }" in configuration(plan("onnx", path, *sides))
    text = configuration(plan("onnx", path, *sides, maxBatchSize=0))
    assert "dims: [ -1, 1 ] reshape { shape: [ -1 ] }" in text


def test_torchscript_is_run_by_pytorch_in_the_order_of_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    sides = ([tensor("input__0", -1, 2), tensor("input__1", -1, 2)], [tensor("y", -1, 1)])
    text = configuration(plan("torchscript", path, *sides))
    assert 'backend: "pytorch"' in text and "reshape" not in text
    assert 'key: "INTRA_OP_THREAD_COUNT" value: { string_value: "1" }' in text
    with pytest.raises(ModelError, match="b__1, a__0 are not in the order"):
        configuration(plan("torchscript", path, [tensor("b__1", -1, 2), tensor("a__0", -1, 2)], sides[1]))


def test_versions_of_other_kinds_or_shapes_are_run_by_python_together(tmp_path: Path) -> None:
    path = make_onnx(tmp_path)
    sides = ([tensor("x", -1, 4)], [tensor("y", -1, 4)])
    two = plan("onnx", path, *sides, version=2)
    assert 'backend: "onnxruntime"' in configuration(plan("onnx", path, *sides), two)
    assert 'backend: "python"' in configuration(plan("sklearn", path, *sides), two)
    repository.make(str(tmp_path / "r"), [plan("sklearn", path, *sides), two])
    assert {entry.name for entry in (tmp_path / "r" / "m" / "2").iterdir()} == {
        "model.bin",
        "model.py",
        "model.json",
    }


def test_other_kinds_and_those_that_are_not_to_be_native_are_run_by_python(tmp_path: Path) -> None:
    sides = ([tensor("x", -1, 2)], [tensor("y", -1, 1)])
    assert 'backend: "python"' in configuration(plan("sklearn", tmp_path / "m", *sides))
    assert 'backend: "python"' in configuration(plan("onnx", tmp_path / "m", *sides, native=False))


def test_only_tritons_own_backends_are_put_on_a_gpu(tmp_path: Path) -> None:
    sides = ([tensor("x", -1, 4)], [tensor("y", -1, 4)])
    path = make_onnx(tmp_path)
    for gpu, native, where in ((True, True, "GPU"), (True, False, "CPU"), (False, True, "CPU")):
        text = configuration(plan("onnx", path, *sides, gpu=gpu, native=native))
        assert f"instance_group [ {{ kind: KIND_{where} count: 1 }} ]" in text


def test_the_flags_of_a_container_are_told_with_the_repository(tmp_path: Path) -> None:
    server = {
        "repository": "/r",
        "address": "0.0.0.0",
        "http": 8000,
        "grpc": 8001,
        "metrics": 8002,
        "key": "KEY",
    }
    order = tmp_path / "order.json"
    order.write_text(json.dumps({"folder": str(tmp_path / "repository"), "models": [], "server": server}))
    told = subprocess.run(
        [sys.executable, "-m", "roost.model", "repository", str(order)], capture_output=True, check=True
    )
    flags = json.loads(told.stdout)["flags"]
    assert flags == tritonserver.flags(server)
    assert "--http-address=0.0.0.0" in flags and "--model-control-mode=explicit" in flags
    assert "--allow-gpu-metrics=false" in flags
    assert "--allow-gpu-metrics=true" in tritonserver.flags({**server, "gpu": True})
    assert any(
        flag.startswith("--http-restricted-api=model-repository") and flag.endswith("=KEY") for flag in flags
    )
    assert not any(flag.startswith("--backend-directory") for flag in flags)


def test_a_server_behind_unix_sockets_has_no_ports(tmp_path: Path) -> None:
    order = {"repository": "/r", "sockets": "/run/roost/sockets", "key": "KEY"}
    told = {flag for flag in tritonserver.flags(order) if "-address" in flag or "-port" in flag}
    # Triton appends the port to the name of the socket of gRPC.
    assert told == {
        "--http-address=unix:/run/roost/sockets/http",
        "--grpc-address=unix:/run/roost/sockets/grpc",
        "--metrics-address=unix:/run/roost/sockets/metrics",
        "--grpc-port=1",
    }


def test_a_folder_whose_name_is_too_long_for_sockets_is_named_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("longer" * 20)
    folder.mkdir(parents=True)
    name = tritonserver.reachable(str(folder))
    assert len(name) < 90 and Path(name).samefile(folder)
    assert tritonserver.reachable(str(tmp_path.root)) == tmp_path.root
