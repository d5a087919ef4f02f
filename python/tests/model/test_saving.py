"""A variable of a notebook becomes a file of its kind."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest

from roost.model import kinds, predictors
from roost.model.errors import ModelError
from roost.model.saving import save

from . import conftest as make


def variable(kind: str, path: Path) -> Any:
    """What a notebook would hold."""
    if kind == "onnx":
        import onnx

        return onnx.load(str(path))
    if kind == "sklearn":
        return pickle.loads(path.read_bytes())
    if kind == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=str(path))
    if kind == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=str(path))
    import catboost

    return catboost.CatBoostClassifier().load_model(str(path))


@pytest.mark.parametrize("kind", ["catboost", "lightgbm", "onnx", "sklearn", "xgboost"])
def test_what_a_variable_holds_answers_from_its_file(kind: str, tmp_path: Path) -> None:
    made = make.MAKERS[kind](tmp_path)
    (tmp_path / "out").mkdir()
    saved = save(variable(kind, made), str(tmp_path / "out"))
    assert saved["kind"] == kind == kinds.detect(saved["path"])
    rows = {"x" if kind == "onnx" else "input__0": make.data()[0][:5]}
    expected = predictors.checked(predictors.load(kind, str(made)), rows)
    found = predictors.checked(predictors.load(kind, saved["path"]), rows)
    for name, array in expected.items():
        numpy.testing.assert_allclose(found[name], array, rtol=1e-6)


def test_an_estimator_whose_class_is_of_the_notebook_is_loaded_elsewhere(tmp_path: Path) -> None:
    import subprocess
    import sys

    source = (
        "from roost.model.saving import save\n"
        "class Doubles:\n    n_features_in_ = 2\n    def predict(self, x): return x.sum(axis=1) * 2\n"
        f"save(Doubles(), {str(tmp_path)!r})\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=120)
    predictor = predictors.load("sklearn", str(tmp_path / "model"))
    assert predictor.predict({"input__0": numpy.ones((1, 2), "float32")})["output__0"].tolist() == [4.0]


def test_what_is_no_model_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="roost model upload FILE"):
        save({"weights": 1}, str(tmp_path))
