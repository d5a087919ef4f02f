"""Values of the notebook in the JSON form of requests: what the example request of a node is made of.

Runs in the kernel, so it looks before it converts: nothing here takes longer for larger values.
"""

from __future__ import annotations

import json
from typing import Any, Dict

from roost.checkpoint.analysis import Analysis
from roost.worker import codec

MAX_BYTES = 64 * 1024
"""Of all values together."""

MAX_VALUE_BYTES = 32 * 1024
MAX_PARTS = 1024
"""Texts, numbers and containers of one value."""

FEW_PARTS = 256
"""Of an array or a table with more parts so many rows are shown that they have about this many."""

FEW_ITEMS = 20
"""Of a list with more parts so many items are shown."""


class Unfit(Exception):
    """The value has no JSON form, or one that is too large to be shown."""


def examples(analysis: Analysis, values: Dict[str, Any], failed: Any) -> Dict[str, Any]:
    """The values that the cell reads, itself or through functions, and does not set; those that can be shown."""
    stored = {use.name for use in analysis.stores}
    found: Dict[str, Any] = {}
    left = MAX_BYTES
    for use in sorted(analysis.uses, key=lambda use: len(use.via)):
        if use.name in stored or use.name in failed or use.name not in values:
            continue
        try:
            form = json_form(values[use.name])
            size = len(json.dumps(form, allow_nan=False)) + len(use.name)
        except Exception:  # also what a `__len__` or a property of the user's class raises
            continue
        if size <= min(MAX_VALUE_BYTES, left):
            found[use.name] = form
            left -= size
    return found


def json_form(value: Any) -> Any:
    """What a request holds for this value: of arrays and tables with many rows, the first ones."""
    module = type(value).__module__.split(".")[0]
    name = type(value).__name__
    if module == "numpy" and name == "ndarray":
        value = _cut(value)
    elif module == "pandas" and name == "DataFrame":
        return _table(value)
    elif module == "pandas" and name == "Series":
        value = value if len(value) <= MAX_PARTS else value.iloc[:FEW_PARTS]
    elif type(value) is list and len(value) > FEW_ITEMS:
        try:
            _count(value, MAX_PARTS, 0)
        except Unfit:
            value = value[:FEW_ITEMS]
            _count(value, MAX_PARTS, 0)
    else:
        _count(value, MAX_PARTS, 0)
    return codec.plain(value, "example")


def _cut(array: Any) -> Any:
    """An array with so many of its rows that the parts are not too many."""
    if array.dtype.hasobject:
        raise Unfit
    if array.size <= MAX_PARTS:
        return array
    row = array.size // len(array)
    if row > MAX_PARTS:
        raise Unfit
    return array[: max(1, FEW_PARTS // row)]


def _table(table: Any) -> Any:
    width = len(table.columns)
    if not 0 < width <= MAX_PARTS:
        raise Unfit
    rows = table if width * len(table) <= FEW_PARTS else table.iloc[: max(1, FEW_PARTS // width)]
    for at, kind in enumerate(rows.dtypes):
        if kind.kind == "O":
            _count(list(rows.iloc[:, at]), MAX_PARTS, 1)
    split = codec.frame_to_plain(rows, "example")
    names = split["columns"]
    plain = all(isinstance(name, str) for name in names) and len(set(names)) == width
    if plain and split["index"] == list(range(len(rows))):
        return [dict(zip(names, row)) for row in split["data"]]
    return split


def _count(value: Any, left: int, depth: int) -> int:
    """How many parts are left of `left` after this value."""
    left -= 1
    if left < 0 or depth > 32:
        raise Unfit
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Unfit  # the service knows such numbers as floating ones
    if isinstance(value, (str, bytes, bytearray)):
        if len(value) > MAX_VALUE_BYTES:
            raise Unfit
    elif isinstance(value, dict):
        if len(value) > left:
            raise Unfit
        for key, child in value.items():
            left = _count(child, _count(key, left, depth + 1), depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > left:
            raise Unfit
        for child in value:
            left = _count(child, left, depth + 1)
    elif hasattr(type(value), "__len__"):  # arrays, tables and the like within a container
        size = getattr(value, "size", None)
        count = int(size) if isinstance(size, int) else len(value)
        if count > left:
            raise Unfit
        left -= count
    return left
