"""Models of texts (BYTES) through the gateway: stock clients, `execute`, and both numpy 2 and numpy 1 in the node's environment."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import ROOT, Roost
from test_model_nodes import deploy, execute, stock

sys.path.insert(0, str(ROOT / "python" / "tests"))
from model import conftest as make  # noqa: E402

SAID = [(text, label) for label, several in make.SAYINGS.items() for text in several]
VERSION = """
import numpy
INPUTS = ["t:BYTES[-1,1]"]
OUTPUTS = ["told:BYTES[-1,1]", "length:INT64[-1,1]"]

def predict(t):
    return {"told": [[numpy.__version__ + " " + text.decode()] for (text,) in t], "length": [[len(text)] for (text,) in t]}
"""


@pytest.fixture(scope="module")
def node(roost: Roost, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipeline whose signature its file tells, the same with labels for an output, a graph and a Python model."""
    folder = tmp_path_factory.mktemp("texts")
    for kind, maker in make.TEXT_MAKERS.items():
        roost.cli("model", "upload", maker(folder), "--name", f"text-{kind}")
    roost.cli(
        "model", "upload", folder / "t.pkl", "--name", "text-labels",
        "--input", "input__0:BYTES[-1,1]", "--output", "output__0:BYTES[-1,1]",
    )  # fmt: skip
    names = [f"text-{kind}" for kind in make.TEXT_MAKERS] + ["text-labels"]
    return deploy(roost, "texts", *names, memoryBytes=2 << 30, cpus=2)


def column(texts: Any) -> Any:
    return numpy.array(list(texts), dtype=object).reshape(-1, 1)


PACKAGES = pytest.mark.parametrize("package", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])


@PACKAGES
def test_a_pipeline_of_texts_classifies_them(roost: Roost, node: str, package: Any) -> None:
    answer = stock(roost, node, "text-sklearn", package, {"input__0": column(text for text, _ in SAID)})
    numbers = answer.as_numpy("output__0")[:, 0]
    assert [sorted(make.SAYINGS)[number] for number in numbers] == [label for _, label in SAID]
    assert answer.as_numpy("probabilities").argmax(axis=1).tolist() == numbers.tolist()
    labels = stock(roost, node, "text-labels", package, {"input__0": column(text for text, _ in SAID)}).as_numpy("output__0")
    assert labels.tolist() == [[label.encode()] for _, label in SAID]


@PACKAGES
def test_texts_come_back_as_they_are(roost: Roost, node: str, package: Any) -> None:
    texts = ["", "żółw €", "\U0001f600\n", "long " * 50_000]
    given = numpy.array([[text, text[::-1]] for text in texts], dtype=object)
    answer = stock(roost, node, "text-python", package, {"t": given, "n": numpy.ones((4, 1), "int64")})
    assert answer.as_numpy("back").tolist() == [[b.encode(), a.encode()] for a, b in given.tolist()]
    assert answer.as_numpy("length").tolist() == [[len(a) + 1 + len(b)] for a, b in given.tolist()]
    assert stock(roost, node, "text-onnx", package, {"x": column(texts)}).as_numpy("y").tolist() == [[t.encode()] for t in texts]


def test_texts_are_strings_as_json(roost: Roost, node: str) -> None:
    answer = execute(roost, f"/datasphere/v1/nodes/{node}", {"text-labels": {"input__0": [["лёд"], ["beach"]]}})
    assert answer.json["output"] == {"text-labels": {"output__0": [["cold"], ["warm"]]}}, answer
    value = {"t": [["żółw", ""], ["a", "b"]], "n": [[1], [2]]}
    answer = execute(roost, f"/datasphere/v1/nodes/{node}", {"text-python": value})
    told = {"back": [["", "żółw"], ["b", "a"]], "joined": [["żółw|"], ["a|ba|b"]], "length": [[5], [6]]}
    assert answer.json["output"] == {"text-python": told}, answer


@pytest.mark.parametrize("wanted", ["1.", "2."])
def test_texts_pass_with_numpy_1_and_numpy_2_in_the_environment(roost: Roost, tmp_path: pathlib.Path, wanted: str) -> None:
    name = f"numpy-{wanted[0]}"
    body = {"name": name, "requirements": f"numpy=={wanted}*"}
    done = roost.finished(roost.call("POST", "/v1/environments", body).json["id"], 300)
    if "error" in done and "can't be reached" in done["error"]["message"]:
        pytest.skip("no package index can be reached from here")
    assert "error" not in done, done
    path = tmp_path / "told.py"
    path.write_text(VERSION)
    roost.cli("model", "upload", path, "--name", f"told-{name}")
    made = deploy(roost, f"told-{name}", f"told-{name}", environment=name, memoryBytes=1 << 30, cpus=1)
    for package in (tritonclient.http, tritonclient.grpc):
        answer = stock(roost, made, f"told-{name}", package, {"t": column(["", "żółw", "a"])})
        version = answer.as_numpy("told")[0, 0].decode().strip()
        assert version.startswith(wanted)
        assert answer.as_numpy("told").tolist() == [[f"{version} {text}".encode()] for text in ("", "żółw", "a")]
        assert answer.as_numpy("length").tolist() == [[0], [7], [1]]
