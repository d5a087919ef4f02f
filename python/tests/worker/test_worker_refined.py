"""Arrays and tables of requests come with the types that they had in the checkpoint, or are refused."""

from __future__ import annotations

from typing import Any

import numpy
import pandas
import pytest

from roost.worker.config import Column, Variable
from roost.worker.errors import InputError
from roost.worker.types import Inputs

NAN = float("nan")


def bound(value: Any, **variable: Any) -> Any:
    space: dict[str, Any] = {}
    Inputs((Variable("x", **variable),)).bind({"x": value}, space)
    return space["x"]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", [[1, 2], [3, 4]], numpy.array([[1, 2], [3, 4]], "float32")),
        ("float32", [0.5, None], numpy.array([0.5, NAN], "float32")),
        ("float64", [1, 2], numpy.array([1.0, 2.0])),
        ("float16", [0.5], numpy.array([0.5], "float16")),
        ("int64", [1.0, 2.0], numpy.array([1, 2])),
        ("int32", [1, -1], numpy.array([1, -1], "int32")),
        ("uint8", [0, 255], numpy.array([0, 255], "uint8")),
        ("bool", [True, False], numpy.array([True, False])),
        ("<U3", ["longer", "a"], numpy.array(["longer", "a"])),
        ("datetime64[ns]", ["2026-01-02T03:04:05Z", None], numpy.array(["2026-01-02T03:04:05", "NaT"], "datetime64[ns]")),
        ("float32", [], numpy.array([], "float32")),
        ("object", [1, 2.5], numpy.array([1, 2.5])),
        ("bfloat16", [1.5], numpy.array([1.5])),
        (None, [1], numpy.array([1])),
        ("float32", {"dtype": "<i8", "shape": [1], "data": "AQAAAAAAAAA="}, numpy.array([1])),
    ],
)  # fmt: skip
def test_an_array_has_the_dtype_of_the_checkpoint(dtype: str | None, value: Any, expected: Any) -> None:
    array = bound(value, type="numpy.ndarray", dtype=dtype)
    assert array.dtype == expected.dtype and array.shape == expected.shape
    numpy.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("int64", [1, 2.5], "got 2.5, which int64 can't hold"),
        ("int64", [1, None], "got null, which int64 can't hold"),
        ("uint8", [1, 300], "got 300, which uint8 can't hold"),
        ("uint8", [-1], "got -1, which uint8 can't hold"),
        ("uint64", [-1], "got -1, which uint64 can't hold"),
        ("float32", ["1"], "got text; the checkpoint's array is of float32"),
        ("float32", [True], "got booleans; the checkpoint's array is of float32"),
        ("float16", [1e30], "too large for float16"),
        ("bool", [1, 0], "got integers; the checkpoint's array is of bool"),
        ("<U3", [1], "got integers; the checkpoint's array is of str"),
        ("datetime64[ns]", ["yesterday"], "no time"),
        ("datetime64[ns]", ["2026-01-02T03:04:05+01:00"], "without an offset"),
        ("datetime64[ns]", [5], "got 5; the checkpoint's array is of times"),
        ("float32", [[1], [1, 2]], "not an array"),
        ("float32", {"a": 1}, "an object with the keys a"),
        ("float32", "text", "got str"),
    ],
)
def test_an_array_that_would_lose_something_is_refused(dtype: str, value: Any, words: str) -> None:
    with pytest.raises(InputError) as refused:
        bound(value, type="numpy.ndarray", dtype=dtype)
    assert words in str(refused.value) and str(refused.value).startswith("input 'x': expected numpy.ndarray")


SHOP = pandas.DataFrame(
    {
        "name": ["a"], "price": [1.5], "count": [1], "small": numpy.array([1], "uint8"), "open": [True],
        "since": pandas.to_datetime(["2026-01-02"]), "at": pandas.to_datetime(["2026-01-02T00:00:00+00:00"]),
        "maybe": pandas.array([1], "Int64"), "kind": pandas.Categorical(["x"]), "took": pandas.to_timedelta(["1s"]),
    }
)  # fmt: skip
COLUMNS = tuple(Column(name, str(kind)) for name, kind in zip(SHOP.columns, SHOP.dtypes))
ROW = {
    "name": "b", "price": 2, "count": 3.0, "small": 255, "open": False, "since": "2026-02-03T04:05:06", "at": "2026-02-03T00:00:00+01:00",
    "maybe": None, "kind": "y", "took": "2s",
}  # fmt: skip


@pytest.mark.parametrize("form", ["records", "split"])
def test_a_table_has_the_column_types_of_the_checkpoint(form: str) -> None:
    value: Any = [ROW, ROW] if form == "records" else {"columns": list(ROW), "data": [list(ROW.values())] * 2}
    table = bound(value, type="pandas.DataFrame", columns=COLUMNS)
    assert dict(table.dtypes.astype(str)) == dict(SHOP.dtypes.astype(str))
    assert table.price.tolist() == [2.0, 2.0] and table["count"].tolist() == [3, 3]
    assert table["at"][0] == pandas.Timestamp("2026-02-02T23:00:00Z")
    assert table.since[0] == pandas.Timestamp("2026-02-03T04:05:06")


def test_columns_may_be_missing_or_new_and_null_is_what_pandas_makes_of_it() -> None:
    table = bound([{"count": 1, "extra": "e"}, {"count": None}], type="pandas.DataFrame", columns=COLUMNS)
    assert list(table.columns) == ["count", "extra"] and table["count"].dtype == "float64"
    empty = bound({"columns": ["price"], "data": []}, type="pandas.DataFrame", columns=COLUMNS)
    assert empty.price.dtype == "float64" and len(bound([], type="pandas.DataFrame", columns=COLUMNS)) == 0


def test_names_that_are_whole_numbers_or_have_levels_are_what_they_were() -> None:
    columns = (Column("0", "float64", True), Column("1", "float64", True))
    table = bound([{"0": 1, "1": 2}], type="pandas.DataFrame", columns=columns)
    assert list(table.columns) == [0, 1] and table[0].dtype == "float64"
    split = bound({"columns": [0, 1], "data": [[1, 2]]}, type="pandas.DataFrame", columns=columns)
    assert list(split.columns) == [0, 1] and split[1].tolist() == [2.0]
    multi = bound(
        {"columns": [["a", "x"], ["a", "y"]], "index": [["k", 1]], "data": [[1, 2]]}, type="pandas.DataFrame"
    )
    assert multi["a"]["y"].tolist() == [2] and multi.index.tolist() == [("k", 1)]


def test_columns_of_records_come_in_the_order_of_the_checkpoint() -> None:
    columns = (Column("b", "int64"), Column("a", "int64"), Column("absent", "int64"))
    table = bound([{"extra": 1, "a": 2, "b": 3}], type="pandas.DataFrame", columns=columns)
    assert list(table.columns) == ["b", "a", "extra"] and table.b.tolist() == [3]
    split = bound({"columns": ["a", "b"], "data": [[2, 3]]}, type="pandas.DataFrame", columns=columns)
    assert list(split.columns) == ["a", "b"]


def test_an_array_without_dimensions_is_a_bare_number() -> None:
    array = bound(2, type="numpy.ndarray", dtype="float64", scalar=True)
    assert array.shape == () and array.dtype == "float64" and array == 2
    with pytest.raises(InputError, match="got int"):
        bound(2, type="numpy.ndarray", dtype="float64")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"price": "1.5"}, "'1.5' in the column 'price', which is float64 in the checkpoint"),
        ({"price": True}, "True in the column 'price'"),
        ({"count": 1.5}, "column 'count'"),
        ({"small": 256}, "column 'small'"),
        ({"open": 1}, "1 in the column 'open', which is bool"),
        ({"since": "soon"}, "column 'since' that can't be datetime64["),
        ({"since": 17}, "column 'since' without text"),
        ({"maybe": 1.5}, "column 'maybe'"),
    ],
)
def test_a_table_with_a_wrong_column_is_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        bound([row], type="pandas.DataFrame", columns=COLUMNS)
    assert words in str(refused.value), refused.value
