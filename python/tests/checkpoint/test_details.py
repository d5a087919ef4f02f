"""What refines the types of a node's API: dtype and shape of arrays, columns of tables."""

from __future__ import annotations

import numpy
import pandas

from roost.checkpoint.capture import MAX_COLUMNS, details


def test_an_array_tells_its_dtype_and_lengths() -> None:
    assert details(numpy.zeros((2, 3), "float32")) == {"dtype": "float32", "shape": [2, 3]}
    assert details(numpy.array(1)) == {"dtype": "int64", "shape": []}


def test_a_table_tells_its_columns() -> None:
    table = pandas.DataFrame({"price": [1.5], 7: ["x"]})
    names = [column["name"] for column in details(table)["columns"]]
    assert names == ["price", "7"]
    assert details(table)["columns"][0] == {"name": "price", "dtype": "float64"}
    assert details(table)["columns"][1]["integer"] is True
    assert details(pandas.DataFrame(numpy.zeros((1, 1))))["columns"][0]["integer"] is True


def test_a_series_of_numbers_tells_their_kind() -> None:
    assert details(pandas.Series([1.5])) == {"dtype": "float"} and details(pandas.Series(["a"])) == {}


def test_a_table_with_very_many_columns_and_other_values_tell_nothing() -> None:
    assert details(pandas.DataFrame(numpy.zeros((1, MAX_COLUMNS + 1)))) == {}
    assert details({"a": 1}) == {} and details(numpy.float64(1)) == {}


def test_of_a_list_the_kind_of_its_items_is_kept_where_all_are_of_one() -> None:
    assert details([1, 2]) == {"dtype": "int"} and details([1, 2.5]) == {"dtype": "float"}
    assert details([True]) == {"dtype": "bool"} and details(["a"]) == {"dtype": "str"}
    for value in ([], [1, "a"], [True, 1], [None], [[1]]):
        assert details(value) == {}
