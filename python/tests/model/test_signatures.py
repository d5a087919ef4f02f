"""Kinds are told by the bytes of a file, and signatures by the model."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy
import pytest

from roost.model import kinds, onnxgraph, predictors
from roost.model.errors import ModelError
from roost.model.signature import given, tensor_from

from . import conftest as make


def inspected(*arguments: object) -> Tuple[int, Dict[str, Any], str]:
    """What the command prints."""
    result = subprocess.run(
        [sys.executable, "-m", "roost.model", "inspect", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return result.returncode, json.loads(result.stdout or "{}"), result.stderr


def test_the_kind_is_told_by_the_bytes_and_not_by_the_name(saved: Tuple[str, Path]) -> None:
    kind, path = saved
    other = path.rename(path.with_suffix(".data"))
    assert kinds.detect(str(other)) == kind


def test_every_kind_tells_its_inputs_and_outputs(saved: Tuple[str, Path]) -> None:
    kind, path = saved
    code, told, problem = inspected(path)
    assert code == 0, problem
    wanted: Dict[str, Tuple[List[str], List[str]]] = {
        "onnx": (["x:FP32[-1,4]"], ["y:FP32[-1,4]"]),
        "sklearn": (["input__0:FP32[-1,4]"], ["output__0:INT64[-1,1]", "probabilities:FP32[-1,2]"]),
        "xgboost": (["input__0:FP32[-1,4]"], ["output__0:FP32[-1,1]"]),
        "lightgbm": (["input__0:FP32[-1,4]"], ["output__0:FP32[-1,1]"]),
        "catboost": (["input__0:FP32[-1,4]"], ["output__0:FP32[-1,2]"]),
        "python": (["a:FP32[-1,2]", "b:INT64[-1,1]"], ["sum:FP64[-1,1]"]),
    }
    sides = [[tensor_from(tensor, "").text for tensor in told[side]] for side in ("inputs", "outputs")]
    assert (told["kind"], *sides) == (kind, *wanted[kind])
    assert told["sizeBytes"] == path.stat().st_size


def test_a_pickle_is_looked_at_without_being_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch {tmp_path}/ran",))

    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError, match="give kind sklearn"):
        kinds.detect(str(path))
    assert not (tmp_path / "ran").exists()


def test_a_compressed_file_of_joblib_is_known(tmp_path: Path) -> None:
    import joblib

    model = pickle.loads(make.make_sklearn(tmp_path).read_bytes())
    for name, compress in (("a", 0), ("b", 3), ("c", ("gzip", 3)), ("d", ("xz", 3))):
        joblib.dump(model, tmp_path / name, compress=compress)
        assert kinds.detect(str(tmp_path / name)) == "sklearn", name


def test_a_classifier_of_texts_gives_numbers_and_tells_what_they_stand_for(tmp_path: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    rows, wanted = make.data()
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(DecisionTreeClassifier().fit(rows, numpy.array(["no", "yes"])[wanted])))
    code, told, problem = inspected(path)
    assert code == 0, problem
    assert told["labels"] == ["no", "yes"]
    assert told["outputs"][0] == {"name": "output__0", "datatype": "INT64", "shape": [-1, 1]}


def test_a_pipeline_that_begins_with_a_vectorizer_takes_texts(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = tmp_path / "v.pkl"
    vectorizer.write_bytes(pickle.dumps(HashingVectorizer(n_features=8)))
    for path, outputs in (
        (make.make_text_sklearn(tmp_path), ["output__0:INT64[-1,1]", "probabilities:FP64[-1,2]"]),
        (vectorizer, ["output__0:FP64[-1,8]"]),
    ):
        code, told, problem = inspected(path)
        assert code == 0, problem
        found = [[tensor_from(tensor, "").text for tensor in told[side]] for side in ("inputs", "outputs")]
        assert found == [["input__0:BYTES[-1,1]"], outputs]


def test_a_graph_of_fixed_length_keeps_its_shape_and_initializers_are_no_inputs(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(numpy.ones((3,), dtype="float32"), "w")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in ("x", "w", "y")]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "g", values[:2], values[2:], [weight]
    )
    path = tmp_path / "m"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    found = onnxgraph.read(str(path))
    assert [tensor.text for tensor in (*found.inputs, *found.outputs)] == ["x:FP32[3]", "y:FP32[3]"]
    assert not found.batches


def test_an_example_makes_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("def predict(a, b):\n    return a @ a.T, (b > 0)[:, 0]\n")
    code, _, problem = inspected(path)
    assert code == 1 and "give inputs and outputs, or an example" in problem
    numpy.savez(
        tmp_path / "e.npz", a=numpy.ones((2, 3), dtype="float32"), b=numpy.ones((2, 1), dtype="int32")
    )
    code, told, problem = inspected(path, "--example", tmp_path / "e.npz")
    assert code == 0, problem
    texts = [tensor_from(tensor, "").text for tensor in (*told["inputs"], *told["outputs"])]
    assert texts == ["a:FP32[-1,3]", "b:INT32[-1,1]", "output__0:FP32[-1,2]", "output__1:BOOL[-1,1]"]


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["--input", "x:FP32[-1,4]"], "outputs: inputs are given, so outputs must be given too"),
        (["--input", "x:FP33[-1]", "--output", "y:FP32[-1]"], "datatype 'FP33' of 'x' must be one of BOOL"),
        (["--input", "x:FP32[0]", "--output", "y:FP32[-1]"], "the dimension 0 of 'x' must be above 0"),
        (["--kind", "pmml"], "kind: 'pmml' must be one of onnx"),
    ],
)
def test_what_is_wrong_names_the_field_and_the_fix(
    tmp_path: Path, arguments: List[str], problem: str
) -> None:
    code, _, told = inspected(make.make_python(tmp_path), *arguments)
    assert code == 1 and problem in told


def test_files_that_are_no_models_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "m"
    for content, problem in (
        (b"", "is empty"),
        (b"hello there", "does not tell"),
        (b"\x80\x05N.", "names no module"),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=problem):
            kinds.detect(str(path))


def test_a_signature_is_written_in_the_words_of_triton_too() -> None:
    found = given(
        ["x: TYPE_STRING[2]".replace(" ", "")], [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]
    )
    assert found is not None and found.inputs[0].datatype == "BYTES"


def test_arrays_of_a_file_of_joblib_are_pages_of_that_file(tmp_path: Path) -> None:
    import joblib
    from sklearn.neighbors import KNeighborsRegressor

    rows, wanted = make.data()
    model = KNeighborsRegressor(3, algorithm="brute").fit(rows, wanted)
    expected = model.predict(rows[:5])
    for name, compress in (("plain", 0), ("compressed", 3)):
        path = tmp_path / name
        joblib.dump(model, path, compress=compress)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded = predictors.load("sklearn", str(path))
        answer = loaded.predict({"input__0": rows[:5]})["output__0"]
        assert numpy.allclose(answer, expected)
        assert (str(path) in Path("/proc/self/maps").read_text()) == (compress == 0)


def test_probabilities_that_nobody_asks_for_are_not_computed(tmp_path: Path) -> None:
    predictor = predictors.load("sklearn", str(make.make_sklearn(tmp_path)))
    rows = {"input__0": make.data()[0][:3]}
    both = predictors.checked(predictor, rows)
    called = []
    real = predictor.estimator.predict_proba
    predictor.estimator = types.SimpleNamespace(
        predict=predictor.estimator.predict, predict_proba=lambda given: called.append(1) or real(given)
    )
    for asked, calls in (
        ({"output__0"}, 0),
        ({"probabilities"}, 1),
        ({"output__0", "probabilities"}, 1),
        (None, 1),
    ):
        called.clear()
        predictor.asked = asked
        answer = predictors.checked(predictor, rows)
        assert set(answer) == (asked or set(both)) and len(called) == calls
        assert all(numpy.array_equal(array, both[name]) for name, array in answer.items())
