"""The repository that Triton serves several versions of a model from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from roost.model import repository
from roost.model.errors import ModelError


def tensor(name: str, *shape: int) -> List[Dict[str, Any]]:
    """One side of a signature."""
    return [{"name": name, "datatype": "FP32", "shape": list(shape)}]


def version(number: Any, folder: Path, **more: Any) -> Dict[str, Any]:
    """A version of a model `m`, of an order."""
    file = folder / f"{number}.py"
    file.write_text("def predict(x): return x\n")
    return {"name": "m", "version": number, "alias": f"id{number}", "kind": "python", "file": str(file),
            "inputs": tensor("x", -1, 2), "outputs": tensor("y", -1, 2), **more}  # fmt: skip


def make(folder: Path, *versions: Dict[str, Any]) -> Path:
    """The repository of an order."""
    repository.make(str(folder / "repository"), [repository.plan_from(value) for value in versions])
    return folder / "repository"


def test_each_version_has_its_folder_and_all_are_loaded(tmp_path: Path) -> None:
    made = make(tmp_path, version(10, tmp_path), version(2, tmp_path))
    assert "version_policy { specific { versions: [ 2, 10 ] } }" in (made / "m/config.pbtxt").read_text()
    for number in (2, 10):
        folder = made / "m" / str(number)
        assert (folder / "source.py").resolve() == tmp_path / f"{number}.py"
        assert json.loads((folder / "model.json").read_text())["file"] == "source.py"
        assert (folder / "model.py").exists()
        # The id of a version is another name of just that one.
        assert (made / f"id{number}" / str(number)).is_dir()
        assert f"model_version: {number} " in (made / f"id{number}" / "config.pbtxt").read_text()
    assert (made / "m.canary").exists()


def test_without_a_number_it_is_version_1(tmp_path: Path) -> None:
    given = version(5, tmp_path)
    del given["version"]
    made = make(tmp_path, given)
    assert (made / "m" / "1" / "model.py").exists()
    assert "versions: [ 1 ]" in (made / "m/config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"inputs": tensor("x", -1, 3)},
            "input 'x' is x:FP32[-1,2] in version 1, but x:FP32[-1,3] in version 2",
        ),
        (
            {"outputs": tensor("z", -1, 2)},
            "output 'y' is y:FP32[-1,2] in version 1, but missing in version 2",
        ),
        (
            {"inputs": tensor("x", -1, 2) + tensor("z", 1)},
            "input 'z' is missing in version 1, but z:FP32[1] in version 2",
        ),
    ],
)
def test_versions_that_differ_are_refused_by_name(tmp_path: Path, changed: Dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as caught:
        make(tmp_path, version(1, tmp_path), version(2, tmp_path, **changed))
    assert told in str(caught.value) and "versions 1 and 2 of model 'm'" in str(caught.value)


def test_the_order_of_inputs_may_differ(tmp_path: Path) -> None:
    two = tensor("x", -1, 2) + tensor("z", -1, 1)
    make(tmp_path, version(1, tmp_path, inputs=two), version(2, tmp_path, inputs=two[::-1]))


def test_an_input_and_an_output_of_one_name_load_the_model_once_more_for_its_id(tmp_path: Path) -> None:
    made = make(tmp_path, version(3, tmp_path, outputs=tensor("x", -1, 2)))
    assert 'backend: "python"' in (made / "id3/config.pbtxt").read_text()
    assert (made / "id3" / "3" / "source.py").resolve() == tmp_path / "3.py"


@pytest.mark.parametrize("number", [0, -1, 2**53, True, "2", 1.5])
def test_a_number_that_is_no_version_is_refused(tmp_path: Path, number: Any) -> None:
    with pytest.raises(ModelError, match="must be a whole number from 1 to 9007199254740991"):
        make(tmp_path, version(number, tmp_path))


def test_a_doubled_version_and_too_many_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="3 of model 'm' is given twice"):
        make(tmp_path, version(3, tmp_path), version(3, tmp_path))
    with pytest.raises(ModelError, match="has 17 versions, at most 16 are served"):
        make(tmp_path, *(version(number, tmp_path) for number in range(1, 18)))
