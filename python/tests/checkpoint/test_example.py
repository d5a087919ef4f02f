"""Values of the notebook in the JSON form of requests."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from typing import Any

import numpy
import pandas
import pytest

from roost.checkpoint.analysis import analyse
from roost.checkpoint.capture import Cell, capture
from roost.checkpoint.example import FEW_PARTS, MAX_BYTES, MAX_VALUE_BYTES, Unfit, examples, json_form


@dataclasses.dataclass
class Point:
    """No JSON form: nothing could make one of it again."""

    x: int


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (numpy.array([[1, 2], [3, 4]], "float32"), [[1.0, 2.0], [3.0, 4.0]]),
        (numpy.array([1.0, numpy.nan]), [1.0, None]),
        (numpy.float32(0.5), 0.5),
        (pandas.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        (pandas.DataFrame({"a": [1]}, index=["k"]), {"columns": ["a"], "index": ["k"], "data": [[1]]}),
        (pandas.Series([1.5, 2.5]), [1.5, 2.5]),
        (
            {"deep": [{"when": datetime.date(2026, 1, 2)}, (1, None)]},
            {"deep": [{"when": "2026-01-02"}, [1, None]]},
        ),
        (b"\x00\xff", "AP8="),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), "2026-01-02T00:00:00+00:00"),
        (True, True),
        (None, None),
        ("text", "text"),
    ],
)
def test_a_value_has_the_form_of_a_request(value: Any, form: Any) -> None:
    assert json_form(value) == form


def test_of_a_long_array_or_table_the_first_rows_are_shown() -> None:
    assert json_form(numpy.zeros((10**6, 4))) == [[0.0] * 4] * (FEW_PARTS // 4)
    rows = json_form(pandas.DataFrame({"a": range(10**6)}))
    assert rows[:2] == [{"a": 0}, {"a": 1}] and 10 < len(rows) < 1000
    assert json_form(list(range(10**6))) == list(range(20)) and len(json_form(list(range(500)))) == 500
    assert (
        len(json_form(pandas.Series(range(10**6)))) == FEW_PARTS
        and len(json_form(numpy.zeros((28, 28)))) == 28
    )


@pytest.mark.parametrize(
    "value",
    [
        (1,) * 10**6,
        "x" * 10**6,
        {"a": numpy.zeros(10**6)},
        numpy.zeros((2, 10**6)),
        Point(1),
        object(),
        [[Point(1)]],
        {"a": 10**30},
    ],
)
def test_what_is_too_large_or_has_no_form_is_not_shown(value: Any) -> None:
    with pytest.raises((Unfit, Exception)):
        json_form(value)


def test_what_the_cell_reads_also_through_functions_is_shown_and_all_of_it_is_bounded() -> None:
    space: dict[str, Any] = {f"v{n}": "x" * 10_000 for n in range(20)}
    space.update(direct=1, through=[2], written=3, unread=4, large="x" * (MAX_VALUE_BYTES + 1))
    exec("def helper():\n    return through", space)
    reads = "; ".join(f"v{n}" for n in range(20))
    found = examples(
        analyse(
            f"direct; helper(); large; {reads}\nwritten = 1",
            f"direct; helper(); large; {reads}\nwritten = 1",
            space,
        ),
        space,
        {},
    )
    assert found["direct"] == 1 and "written" not in found and "unread" not in found and "large" not in found
    assert found.get("through") == [2] or sum(name.startswith("v") for name in found) == 6
    assert len(json.dumps(found)) <= MAX_BYTES


def test_what_a_cell_reaches_through_functions_is_in_its_checkpoint() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "import threading\nrate = 2\nlock = threading.Lock()\ndef inner():\n    return rate, lock\ndef outer():\n    return inner()",
        space,
    )
    manifest = capture(space, {}, Cell("out = outer()", "out = outer()")).manifest
    via = {use["name"]: use["via"] for use in manifest["analysis"]["uses"]}
    assert via == {"outer": [], "inner": ["outer"], "rate": ["outer", "inner"], "lock": ["outer", "inner"]}
    assert manifest["example"] == {"rate": 2} and manifest["errors"][0]["name"] == "lock"


def test_large_values_cost_no_time() -> None:
    values = [list(range(10**6)), {n: n for n in range(10**6)}, numpy.zeros((10**7, 2)), "x" * 10**8]
    started = time.perf_counter()
    for value in values:
        try:
            json_form(value)
        except Unfit:
            pass
    assert time.perf_counter() - started < 0.5
