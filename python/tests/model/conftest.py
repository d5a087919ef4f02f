"""Small models of every kind, made by the packages that people make them with."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Callable, Dict

import numpy
import pytest

FEATURES = 4


def data() -> Any:
    """Rows and what they are to give."""
    random = numpy.random.default_rng(7)
    rows = random.normal(size=(120, FEATURES)).astype("float32")
    return rows, (rows[:, 0] + 2 * rows[:, 1] > 0).astype("int64")


def make_onnx(folder: Path) -> Path:
    """y = x * [1, 2, 3, 4]."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(numpy.array([1, 2, 3, 4], dtype="float32"), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", FEATURES]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def make_sklearn(folder: Path) -> Path:
    """A pipeline that classifies."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, wanted = data()
    path = folder / "m.pkl"
    path.write_bytes(pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, wanted)))
    return path


def make_xgboost(folder: Path) -> Path:
    """Five small trees."""
    import xgboost

    rows, wanted = data()
    settings = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
    path = folder / "m.ubj"
    xgboost.train(settings, xgboost.DMatrix(rows, wanted), 5).save_model(str(path))
    return path


def make_lightgbm(folder: Path) -> Path:
    """Five small trees."""
    import lightgbm

    rows, wanted = data()
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    path = folder / "m.txt"
    lightgbm.train(settings, lightgbm.Dataset(rows, wanted), 5).save_model(str(path))
    return path


def make_catboost(folder: Path) -> Path:
    """Five small trees."""
    import catboost

    rows, wanted = data()
    model = catboost.CatBoostClassifier(
        iterations=5, depth=2, thread_count=1, verbose=False, allow_writing_files=False
    )
    path = folder / "m.cbm"
    model.fit(rows, wanted).save_model(str(path))
    return path


PYTHON = """
INPUTS = ["a:FP32[-1,2]", "b:INT64[-1,1]"]
OUTPUTS = ["sum:FP64[-1,1]"]
calls = []

def predict(a, b):
    calls.append(len(a))
    if (a < 0).any():
        raise ValueError("a must not be negative")
    return {"sum": a.sum(axis=1, keepdims=True) + b}
"""


def make_python(folder: Path) -> Path:
    """Source of Python."""
    path = folder / "m.py"
    path.write_text(PYTHON)
    return path


MAKERS: Dict[str, Callable[[Path], Path]] = {
    "onnx": make_onnx,
    "sklearn": make_sklearn,
    "xgboost": make_xgboost,
    "lightgbm": make_lightgbm,
    "catboost": make_catboost,
    "python": make_python,
}


MIRROR = """
import numpy
INPUTS = ["t:BYTES[-1,2]", "n:INT64[-1,1]"]
OUTPUTS = ["back:BYTES[-1,2]", "joined:BYTES[-1,1]", "length:INT64[-1,1]"]

def predict(t, n):
    assert all(type(each) is bytes for each in t.flat)
    joined = [b"|".join(row).decode("utf-8", "replace") * count for row, (count,) in zip(t, n)]
    return {"back": t[:, ::-1], "joined": numpy.array(joined)[:, None], "length": [[len(each)] for each in joined]}
"""


def make_text_python(folder: Path) -> Path:
    """Texts in and out, turned round, beside numbers."""
    path = folder / "t.py"
    path.write_text(MIRROR, encoding="utf-8")
    return path


SAYINGS = {"cold": ["snow and ice", "лёд и снег", "frost"], "warm": ["sun and sand", "żółte słońce", "beach"]}


def make_text_sklearn(folder: Path) -> Path:
    """A pipeline that classifies texts by labels."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    said = [(text, label) for label, several in SAYINGS.items() for text in several]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*zip(*said))
    path = folder / "t.pkl"
    path.write_bytes(pickle.dumps(model))
    return path


def make_text_onnx(folder: Path) -> Path:
    """Gives the texts back."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.STRING, ["n", 1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "t.onnx"
    path.write_bytes(model.SerializeToString())
    return path


TEXT_MAKERS: Dict[str, Callable[[Path], Path]] = {
    "onnx": make_text_onnx,
    "python": make_text_python,
    "sklearn": make_text_sklearn,
}


@pytest.fixture(params=sorted(MAKERS))
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Kind and file of a model of each kind."""
    return request.param, MAKERS[request.param](tmp_path)
