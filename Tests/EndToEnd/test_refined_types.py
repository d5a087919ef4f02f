"""What the API of a node knows of the values in its checkpoint: a notebook with values of every kind, run by the real kernel, made a
node, and called with input that matches and input that doesn't."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Roost
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

VALUES = """
import dataclasses, datetime
import numpy as np, pandas as pd
matrix = np.array([[1, 2], [3, 4]], 'float32')
counts = np.array([1, 2, 3])
pixels = np.zeros((2, 2), 'uint8')
flags = np.array([True, False])
times = np.array(['2026-01-01'], 'datetime64[ns]')
words = np.array(['a', 'bc'])
zero = np.array(2.5)
table = pd.DataFrame({
    'price': [1.5, None], 'n': [1, 2], 'name': ['x', None], 'at': pd.to_datetime(['2026-01-01', None]), 'ok': [True, False],
    'kind': pd.Categorical(['a', 'b']), 'maybe': pd.array([1, None], 'Int64')})
plain = pd.DataFrame(np.zeros((2, 2), 'float32'))
indexed = pd.DataFrame({'a': [1]}, index=['k'])
levels = pd.DataFrame({('a', 'x'): [1], ('a', 'y'): [2]})
series = pd.Series([1.5, 2.5])
nested = {'a': [1, {'b': (1, 2)}], 'none': None}
names = ['a', 'b']
mixed = [1, 'a', None]
when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
raw = b'\\x00\\xff'
yes = True
nothing = None
ratio = np.float32(1.5)
whole = np.int64(7)
pair = (1, 'a')
unique = {1, 2, 3}
big = 10**30
nan = float('nan')
@dataclasses.dataclass
class Point:
    x: int
point = Point(1)
def kind(value):
    if isinstance(value, np.ndarray):
        return f'{value.dtype.kind}{value.dtype.itemsize if value.dtype.kind != "U" else ""}{list(value.shape)}'
    if isinstance(value, pd.DataFrame):
        return [f'{name}:{dtype}' for name, dtype in value.dtypes.items()]
    return type(value).__name__
"""
TYPES = {
    "matrix": "numpy.ndarray", "counts": "numpy.ndarray", "pixels": "numpy.ndarray", "flags": "numpy.ndarray",
    "times": "numpy.ndarray", "words": "numpy.ndarray", "zero": "numpy.ndarray", "table": "pandas.DataFrame",
    "plain": "pandas.DataFrame", "indexed": "pandas.DataFrame", "levels": "pandas.DataFrame", "series": "list", "nested": "dict",
    "names": "list", "mixed": "list", "when": "datetime", "raw": "bytes", "yes": "bool", "nothing": "any", "ratio": "float",
    "whole": "int", "pair": "list", "unique": "list", "big": "int", "nan": "float", "point": "dict",
}  # fmt: skip
CELL = "out = {" + ", ".join(f"'{name}': kind({name})" for name in TYPES) + "}"


class Audit:
    """The node with its document and its example."""

    def __init__(self, roost: Roost) -> None:
        self.roost = roost
        roost.checkpoint(VALUES, CELL, name="audit")
        inputs = [f"{name}:{kind}" for name, kind in TYPES.items()]
        self.node = roost.node("audit", inputs=inputs, outputs=["out:dict"])
        self.document = roost.get(f"/nodes/{self.node}/openapi.json")
        self.example: dict[str, Any] = json.loads(roost.get(f"/v1/nodes/{self.node}")["example"])

    def valid(self, values: dict[str, Any]) -> bool:
        schema = {**self.document["components"]["schemas"]["Input"], "components": self.document["components"]}
        return bool(Draft202012Validator(schema).is_valid(values))


@pytest.fixture(scope="module")
def audit(roost: Roost) -> Audit:
    return Audit(roost)


def test_the_example_has_the_notebooks_values_fits_the_document_and_was_the_warm_up(audit: Audit) -> None:
    OpenAPIV31SpecValidator(audit.document).validate()
    assert audit.valid(audit.example)
    example = audit.example
    assert example["matrix"] == [[1, 2], [3, 4]] and example["flags"] == [True, False] and example["zero"] == 2.5
    assert example["table"][0] == {
        "price": 1.5, "n": 1, "name": "x", "at": "2026-01-01T00:00:00", "ok": True, "kind": "a", "maybe": 1,
    }  # fmt: skip
    assert example["plain"] == {"columns": [0, 1], "index": [0, 1], "data": [[0, 0], [0, 0]]}
    assert example["series"] == [1.5, 2.5] and example["nested"] == {"a": [1, {"b": [1, 2]}], "none": None}
    assert (example["when"], example["raw"], example["nothing"], example["ratio"], example["whole"]) == (
        "2026-01-02T03:04:05+00:00", "AP8=", None, 1.5, 7,
    )  # fmt: skip
    assert (example["pair"], example["unique"]) == ([1, "a"], [1, 2, 3])
    assert (example["big"], example["nan"], example["point"]) == (1, 1.5, {})  # made of their types
    warm = next(one for one in audit.roost.status(audit.node)["conditions"] if one["type"] == "WarmUp")
    assert warm["reason"] == "Done", warm


def test_matching_input_arrives_with_the_types_of_the_checkpoint(audit: Audit) -> None:
    values = {
        **audit.example,
        "matrix": [[1, 2, 3]], "counts": [1.0], "pixels": [[255]], "zero": 3,
        "table": [{"price": 2, "n": 3, "name": "y", "at": "2026-02-03", "ok": False, "kind": "b", "maybe": None}],
        "plain": [{"0": 1, "1": 2}],
    }  # fmt: skip
    assert audit.valid(values)
    answer = audit.roost.execute(audit.node, values)
    assert answer.status == 200, answer
    out = answer.json["output"]["out"]
    assert [out[name] for name in ("matrix", "counts", "pixels", "flags", "times", "words", "zero")] == [
        "f4[1, 3]", "i8[1]", "u1[1, 1]", "b1[2]", "M8[1]", "U[2]", "f8[]",
    ]  # fmt: skip
    kinds = dict(column.split(":") for column in out["table"])
    assert kinds["at"].startswith("datetime64") and kinds["name"] in ("object", "str")
    assert {name: kinds[name] for name in ("price", "n", "ok", "kind", "maybe")} == {
        "price": "float64", "n": "int64", "ok": "bool", "kind": "category", "maybe": "Int64",
    }  # fmt: skip
    assert out["plain"] == ["0:float32", "1:float32"] and out["levels"] == ["('a', 'x'):int64", "('a', 'y'):int64"]
    assert [out[name] for name in ("when", "raw", "yes", "nothing", "ratio", "whole", "pair", "point")] == [
        "datetime", "bytes", "bool", "NoneType", "float", "int", "list", "dict",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "words", "documented"),
    [
        ("matrix", [["a"]], "text; the checkpoint's array is of float32", False),
        ("matrix", 5, "got int", True),
        ("counts", [1.5], "1.5, which int64 can't hold", False),
        ("pixels", [[256]], "256, which uint8 can't hold", False),
        ("flags", [1], "integers; the checkpoint's array is of bool", False),
        ("times", ["soon"], "no time", False),
        ("table", [{"price": "cheap"}], "'cheap' in the column 'price', which is float64", True),
        ("table", [{"ok": 1}], "1 in the column 'ok', which is bool", True),
        ("table", [{"at": "soon"}], "column 'at' that can't be datetime64", False),
        ("table", {"a": 1}, "an object with the keys a", True),
        ("plain", [{"0": "x"}], "'x' in the column 0", True),
        ("nested", [], "expected dict, got list", True),
        ("names", {}, "expected list, got dict", True),
        ("when", "tomorrow", "datetime (an ISO 8601 string)", False),
        ("when", 5, "got int", True),
        ("raw", "?", "not base64", False),
        ("yes", 1, "expected bool, got int", True),
        ("ratio", "1", "expected float, got str", True),
        ("ratio", None, "expected float, got null", True),
        ("whole", 1.5, "expected int, got float", True),
        ("whole", True, "expected int, got bool", True),
    ],
)
def test_input_that_does_not_match_is_refused_by_name(
    audit: Audit, name: str, value: Any, words: str, documented: bool
) -> None:
    values = {**audit.example, name: value}
    answer = audit.roost.execute(audit.node, values)
    assert answer.status == 400, answer
    message = answer.json["message"]
    assert message.startswith(f"input '{name}': ") and words in message, message
    # What JSON Schema can say of it, the document says; the rest only the conversion knows.
    assert audit.valid(values) is not documented


def test_proto_and_document_name_what_the_checkpoint_had(audit: Audit) -> None:
    proto = audit.roost.cli("node", "api", "audit", "--proto").stdout
    for line in (
        "FloatTensor matrix = 1;", "Int64Tensor counts = 2;", "UInt64Tensor pixels = 3;", "BoolTensor flags = 4;",
        "google.protobuf.ListValue times = 5;", "DoubleTensor zero = 7;", "google.protobuf.ListValue table = 8;",
        "google.protobuf.Struct nested = 13;", "google.protobuf.Timestamp when = 16;", "google.protobuf.Value nothing = 19;",
        "// numpy.ndarray float32 of shape (2, 2)", "// list of float", "price (float64), n (int64)",
    ):  # fmt: skip
        assert line in proto, proto
    properties = audit.document["components"]["schemas"]["Input"]["properties"]
    assert "float32 of shape (2, 2)" in properties["matrix"]["description"]
    assert properties["names"]["description"] == "Items are str in the checkpoint."
    records = properties["table"]["anyOf"][0]["items"]["properties"]
    assert records["price"] == {"type": ["number", "null"]} and records["ok"] == {"type": ["boolean", "null"]}
