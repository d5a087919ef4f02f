"""Sessions of onnxruntime come back, wherever in a variable they lie."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from notebook_state import dumps_of, notebook, restore_and_run, variables
from onnx import TensorProto, helper, numpy_helper

from roost.checkpoint.groups import dump_all


def model(size: int) -> onnx.ModelProto:
    """`y = x + w` with a `w` of ones."""
    import numpy as np

    weights = numpy_helper.from_array(np.ones(size, dtype="float32"), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(model(20_000), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


CHECK = "import numpy as np\nassert (session.run(None, {'x': np.zeros(20_000, 'float32')})[0] == 1).all()"


@pytest.mark.parametrize("given", ["str(path)", "path.read_bytes()"])
def test_a_session_comes_back_without_its_file(path: Path, given: str) -> None:
    options = "options = onnxruntime.SessionOptions()\noptions.intra_op_num_threads = 1\n"
    made = notebook(
        f"import onnxruntime, pathlib\npath = pathlib.Path({str(path)!r})\n{options}"
        f"session = onnxruntime.InferenceSession({given}, options, providers=['CPUExecutionProvider'])\ndel options"
    )
    dumps = dumps_of(made)
    path.unlink()
    (session,) = (one for one in dumps if "session" in one.names)
    assert session.after_fork and len(session.stream) < 10_000
    assert sum(buffer.raw().nbytes for buffer in session.buffers) > 80_000
    restore_and_run(dumps, f"{CHECK}\nassert session.get_session_options().intra_op_num_threads == 1")


def test_a_session_inside_an_object_is_made_in_each_instance_too(path: Path) -> None:
    made = notebook(
        f"import onnxruntime\nclass Model:\n  def __init__(self):\n    self.session = onnxruntime.InferenceSession({str(path)!r})",
        "model = Model()\nplain = [1]",
    )
    dumps = dumps_of(made)
    assert {name for one in dumps if one.after_fork for name in one.names} == {"Model", "model"}
    restore_and_run(dumps, f"session = model.session\n{CHECK}")


def test_a_model_in_several_files_is_named(tmp_path: Path) -> None:
    onnx.save(model(20_000), tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin")
    made = notebook(
        f"import onnxruntime\nparts = {{'s': onnxruntime.InferenceSession({str(tmp_path / 'm.onnx')!r})}}"
    )
    _, failures = dump_all(variables(made), made)
    failure = failures["parts"]
    assert failure.where == "parts['s']" and "weights in files beside it" in failure.reason, failure
    assert "in one file" in failure.hint
