"""Arrays and tables of requests get the types that they had in the checkpoint.

JSON knows numbers, text and little else. Without this an array of `float32` would come as `float64` or, sent without
fractions, as `int64`, and a column of times as text. What can't be converted without loss is refused.
"""

from __future__ import annotations

import warnings
from typing import Any

from roost.worker.config import Column
from roost.worker.errors import Unfit


def array(value: Any, dtype: str | None) -> Any:
    """An array of nested lists, of the checkpoint's dtype where one is known and has a JSON form."""
    import numpy

    wanted = _dtype(numpy, dtype)
    if wanted is not None and wanted.kind == "M":
        return _times(numpy, value, wanted)
    made = numpy.array(value)
    if made.dtype.kind == "O":
        made = numpy.array(value, dtype=float)  # null is NaN, as NaN is null in answers
    if wanted is None or made.dtype == wanted or made.size == 0:
        return made if wanted is None or made.size else made.astype(wanted)
    kind, given = wanted.kind, made.dtype.kind
    if kind == "U" and given == "U":
        return made  # as long as its texts are, not as those of the checkpoint were
    if kind == "f" and given in "iuf":
        with numpy.errstate(over="ignore"):
            cast = made.astype(wanted)
        if numpy.isfinite(made).sum() == numpy.isfinite(cast).sum():
            return cast
        raise Unfit(f"a number that is too large for {wanted.name}")
    if kind in "iu" and given in "iuf":
        with numpy.errstate(invalid="ignore"):
            cast = made.astype(wanted)
        if bool((cast == made).all()) and bool(((cast < 0) == (made < 0)).all()):
            return cast
        lost = made[(cast != made) | ((cast < 0) != (made < 0))].flat[0]
        word = "null" if lost != lost else f"{lost.item()!r}"
        raise Unfit(f"{word}, which {wanted.name} can't hold; the checkpoint's array is of {wanted.name}")
    raise Unfit(f"{_KINDS.get(given, made.dtype.name)}; the checkpoint's array is of {wanted.name}")


_KINDS = {
    "b": "booleans",
    "i": "integers",
    "u": "integers",
    "f": "numbers",
    "U": "text",
    "c": "complex numbers",
}


def _dtype(numpy: Any, name: str | None) -> Any:
    """The dtype to convert to; None where JSON decides."""
    if name is None:
        return None
    try:
        found = numpy.dtype(name)
    except TypeError:  # of a package that is not here, like ml_dtypes
        return None
    return found if found.kind in "biufUM" else None


def _times(numpy: Any, value: Any, wanted: Any) -> Any:
    def plain(item: Any) -> Any:
        if type(item) is list:
            return [plain(one) for one in item]
        if item is None:
            return "NaT"
        if type(item) is not str:
            raise Unfit(f"{item!r}; the checkpoint's array is of times ({wanted.name}): strings of ISO 8601")
        return item[:-1] if item.endswith(("Z", "z")) else item

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an offset, which numpy would drop
        try:
            return numpy.array(plain(value), dtype=wanted)
        except (ValueError, UserWarning, DeprecationWarning) as error:
            raise Unfit(f"text that is no time without an offset ({error})") from None


def labels(names: Any) -> Any:
    """Names of columns or rows; of several levels they are lists in JSON."""
    if type(names) is list and names and all(type(name) is list for name in names):
        import pandas

        return pandas.MultiIndex.from_tuples([tuple(name) for name in names])
    return names


def table(frame: Any, columns: tuple[Column, ...]) -> Any:
    """A table whose columns have the names and types of the checkpoint's."""
    whole = {column.name: int(column.name) for column in columns if column.integer}
    if whole and any(name in whole for name in frame.columns):
        frame = frame.rename(columns=whole)  # keys of JSON are text
    for wanted in columns:
        dtype = wanted.dtype
        name: str | int = whole[wanted.name] if wanted.integer else wanted.name
        if name not in frame.columns:
            continue
        column = frame[name]
        if getattr(column, "ndim", 2) != 1 or str(column.dtype) == dtype:
            continue
        frame[name] = _column(column, name, dtype)
    return frame


def in_order(frame: Any, columns: tuple[Column, ...]) -> Any:
    """A table of records with the checkpoint's columns first and in their order: members of JSON objects have none."""
    known = [int(column.name) if column.integer else column.name for column in columns]
    present = set(frame.columns)
    first = [name for name in known if name in present]
    if not first or list(frame.columns[: len(first)]) == first:
        return frame
    rest = [name for name in frame.columns if name not in set(first)]
    return frame[first + rest]


def _column(column: Any, name: str | int, dtype: str) -> Any:
    import pandas

    has_null = bool(column.isna().any())
    kind = dtype.lower()
    try:
        if kind.startswith("datetime64"):
            return _time_column(pandas, column, dtype)
        if kind.startswith("timedelta64"):
            return pandas.to_timedelta(column).astype(dtype)
        if kind.startswith(("int", "uint", "float", "bool")):
            _check_items(column, name, dtype)
            if has_null and dtype[:1].islower() and not kind.startswith("float"):
                return column  # as pandas has it: it knows no null in these types
            made = column.astype(dtype)
            if not kind.startswith(("bool", "float")) and not bool((made == column)[column.notna()].all()):
                raise Unfit(f"a number in the column {name!r} that {dtype} can't hold")
            return made
        if kind in ("category", "string", "str"):
            return column.astype(dtype)
        return column
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise Unfit(f"a column {name!r} that can't be {dtype} as in the checkpoint ({error})") from None


def _time_column(pandas: Any, column: Any, dtype: str) -> Any:
    if not all(item is None or isinstance(item, str) or item != item for item in column):
        raise Unfit(
            f"a column {column.name!r} without text; it is {dtype} in the checkpoint: send times of ISO 8601"
        )
    aware = "," in dtype
    times = pandas.to_datetime(column, utc=True if aware else None)
    if not aware and getattr(times.dtype, "tz", None) is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.astype(dtype)


def _check_items(column: Any, name: str | int, dtype: str) -> None:
    """JSON's kinds: a text that looks like a number is none."""
    wants_bool = dtype.lower().startswith("bool")
    if column.dtype.kind in ("b" if wants_bool else "iuf"):
        return
    for item in column.tolist():
        if item is None or item != item:
            continue
        if type(item) is bool if wants_bool else type(item) in (int, float):
            continue
        raise Unfit(f"{item!r} in the column {name!r}, which is {dtype} in the checkpoint")
