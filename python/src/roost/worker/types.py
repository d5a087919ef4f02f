"""The types that a node's variables can be declared with, and their JSON forms."""

from __future__ import annotations

import base64
import binascii
import datetime
import io
from functools import partial
from typing import Any, Callable

from roost.worker import codec as codecs
from roost.worker import refine
from roost.worker.config import Column, Variable
from roost.worker.errors import InputError, OutputError, RestoreError, Unfit

Bind = Callable[[Any], Any]

NAMES = (
    "dict", "list", "str", "int", "float", "bool", "bytes", "datetime",
    "numpy.ndarray", "pandas.DataFrame", "image", "any",
)  # fmt: skip

_EXACT: dict[str, type] = {"dict": dict, "list": list, "str": str, "int": int, "bool": bool, "float": float}
_PACKAGES = {"numpy.ndarray": "numpy", "pandas.DataFrame": "pandas", "image": "PIL.Image"}
_FORMS = {
    "bytes": "bytes (a base64 string)",
    "datetime": "datetime (an ISO 8601 string)",
    "numpy.ndarray": 'numpy.ndarray (nested lists, or {"dtype", "shape", "data": base64})',
    "pandas.DataFrame": 'pandas.DataFrame (a list of records, or {"columns", "index", "data"})',
    "image": "image (a base64 string of a PNG or JPEG file)",
}


def check_declared(variables: tuple[Variable, ...], inputs: bool) -> None:
    """Refuses unknown type names, and imports what the inputs' types need before the first request."""
    for variable in variables:
        if variable.type not in NAMES:
            raise RestoreError(
                f"{variable.name}: unknown type {variable.type!r}; use one of {', '.join(NAMES)}"
            )
        package = _PACKAGES.get(variable.type)
        if inputs and package:
            try:
                __import__(package)
            except ImportError as error:
                name = "pillow" if package == "PIL.Image" else package
                raise RestoreError(
                    f"package {name} is not installed in the node's environment "
                    f"(input {variable.name} is declared as {variable.type})",
                    cause=error,
                ) from None


def json_name(value: Any) -> str:
    """How an input's actual type is named to its sender."""
    return "null" if value is None else type(value).__name__


class Inputs:
    """Binds the JSON object of a request to the declared input variables."""

    def __init__(self, variables: tuple[Variable, ...]) -> None:
        self._variables = variables
        self._count = len(variables)
        self.slots: list[tuple[str, type | None, Bind | None]] = [
            (v.name, _EXACT.get(v.type), _binder(v)) for v in variables
        ]

    def bind(self, values: Any, namespace: dict[str, Any]) -> None:
        """Checks all values, then sets them in the namespace: a refused request changes nothing."""
        if type(values) is not dict:
            raise InputError(
                f"the input must be a JSON object of variables, got {json_name(values)}; {self._takes()}"
            )
        converted = None
        for name, exact, convert in self.slots:
            try:
                value = values[name]
            except KeyError:
                declared = {v.name for v in self._variables}
                unknown = ", ".join(repr(other) for other in values if other not in declared)
                hint = f" ({unknown} is unknown)" if unknown else ""
                raise InputError(f"input {name!r} is missing{hint}; {self._takes()}", name) from None
            if type(value) is not exact and convert is not None:
                if converted is None:
                    converted = dict(values)
                try:
                    converted[name] = convert(value)
                except Unfit as error:
                    raise InputError(
                        f"input {name!r}: expected {self._form(name)}, got {error}", name
                    ) from None
        if len(values) != self._count:
            declared = {v.name for v in self._variables}
            extra = next(name for name in values if name not in declared)
            raise InputError(f"unknown input {extra!r}; {self._takes()}", extra)
        namespace.update(values if converted is None else converted)

    def _form(self, name: str) -> str:
        declared = next(v.type for v in self._variables if v.name == name)
        return _FORMS.get(declared, declared)

    def _takes(self) -> str:
        if not self._variables:
            return "this cell takes no inputs"
        return "this cell takes " + ", ".join(f"{v.name} ({v.type})" for v in self._variables)


class Outputs:
    """Reads the declared output variables after the cell ran."""

    def __init__(self, variables: tuple[Variable, ...], codec: codecs.Codec, max_bytes: int) -> None:
        self._dumps = codec.dumps
        self._max_bytes = max_bytes
        self._slots: list[tuple[str, bytes, str, type | None]] = []
        for index, variable in enumerate(variables):
            head = ("," if index else "{").encode() + codecs.json_dumps(variable.name, "") + b":"
            self._slots.append((variable.name, head, variable.type, _EXACT.get(variable.type)))

    def render(self, namespace: dict[str, Any]) -> bytes:
        """The raw JSON object of the outputs."""
        parts = []
        for name, head, declared, exact in self._slots:
            try:
                value = namespace[name]
            except KeyError:
                raise OutputError(f"the cell did not set its output {name!r}", name) from None
            if type(value) is not exact and declared != "any":
                value = _check_output(name, declared, exact, value)
            parts.append(head)
            parts.append(self._dumps(value, name))
        if not parts:
            return b"{}"
        parts.append(b"}")
        data = b"".join(parts)
        if len(data) > self._max_bytes:
            largest = max(range(0, len(parts) - 1, 2), key=lambda at: len(parts[at + 1]))
            raise OutputError(
                f"the answer has {len(data)} bytes, the limit is {self._max_bytes}; "
                f"the largest output is {self._slots[largest // 2][0]!r}",
                self._slots[largest // 2][0],
            )
        return data


def _check_output(name: str, declared: str, exact: type | None, value: Any) -> Any:
    kind = type(value)
    actual = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    wrong = OutputError(f"output {name!r}: expected {declared}, got {actual}", name)
    if exact is not None:
        if (
            exact in (int, float, bool)
            and kind.__module__ == "numpy"
            and hasattr(value, "item")
            and value.ndim == 0
        ):
            value = value.item()
            kind = type(value)
        if exact is float and kind is int:
            return value
        if (kind is bool and exact is not bool) or not isinstance(value, exact):
            raise wrong
        return value
    mro = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    if declared == "bytes":
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise wrong
    elif declared == "datetime":
        if not isinstance(value, (datetime.datetime, datetime.date)) and actual != "numpy.datetime64":
            raise wrong
    elif declared == "numpy.ndarray":
        if "numpy.ndarray" not in mro:
            raise wrong
    elif declared == "pandas.DataFrame":
        if not mro & {"pandas.DataFrame", "pandas.core.frame.DataFrame"}:
            raise wrong
    elif declared == "image":
        return _image_bytes(value, mro, wrong)
    return value


def _image_bytes(value: Any, mro: Any, wrong: OutputError) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return value
    file = io.BytesIO()
    if "matplotlib.figure.Figure" in mro:
        value.savefig(file, format="png")
    elif "PIL.Image.Image" in mro:
        value.save(file, format="PNG")
    else:
        raise wrong
    return file.getvalue()


def _binder(variable: Variable) -> Bind | None:
    declared = variable.type
    binders: dict[str, Bind] = {
        "float": _float,
        "bytes": _bytes,
        "datetime": _datetime,
        "numpy.ndarray": partial(_ndarray, dtype=variable.dtype, scalar=variable.scalar),
        "pandas.DataFrame": partial(_dataframe, columns=variable.columns),
        "image": _image,
    }
    return None if declared == "any" else binders.get(declared, _never)


def _never(value: Any) -> Any:
    raise Unfit(json_name(value))


def _float(value: Any) -> float:
    if type(value) is not int:
        raise Unfit(json_name(value))
    try:
        return float(value)
    except OverflowError:
        raise Unfit("an int that is too large for a float") from None


def _bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise Unfit(json_name(value))
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unfit(f"a string that is not base64 ({error})") from None


def _datetime(value: Any) -> datetime.datetime:
    if type(value) is not str:
        raise Unfit(json_name(value))
    text = value[:-1] + "+00:00" if value.endswith(("Z", "z")) else value
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        raise Unfit(f"the string {value[:40]!r}") from None


def _ndarray(value: Any, dtype: str | None = None, scalar: bool = False) -> Any:
    import numpy

    try:
        if type(value) is dict:
            if set(value) != {"dtype", "shape", "data"}:
                raise Unfit("an object with the keys " + ", ".join(sorted(value)))
            packed = numpy.dtype(value["dtype"])
            if packed.hasobject:
                raise Unfit(f"the dtype {value['dtype']!r}")
            return numpy.frombuffer(bytearray(_bytes(value["data"])), packed).reshape(value["shape"])
        if type(value) is not list and not (scalar and type(value) in (int, float, bool, str)):
            raise Unfit(json_name(value))
        return refine.array(value, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unfit(f"{json_name(value)} that is not an array ({error})") from None


def _dataframe(value: Any, columns: tuple[Column, ...] = ()) -> Any:
    import pandas

    try:
        if type(value) is dict:
            if not {"columns", "data"} <= set(value) <= {"columns", "index", "data"}:
                raise Unfit("an object with the keys " + ", ".join(sorted(value)))
            frame = pandas.DataFrame(
                value["data"],
                index=refine.labels(value.get("index")),
                columns=refine.labels(value["columns"]),
            )
            return refine.table(frame, columns)
        if type(value) is not list:
            raise Unfit(json_name(value))
        for index, record in enumerate(value):
            if type(record) is not dict:
                raise Unfit(f"a list whose item {index} is {json_name(record)}")
        return refine.in_order(refine.table(pandas.DataFrame.from_records(value), columns), columns)
    except (ValueError, TypeError, AssertionError) as error:
        raise Unfit(f"{json_name(value)} that is not a table ({error})") from None


def _image(value: Any) -> Any:
    from PIL import Image, UnidentifiedImageError

    raw = _bytes(value)
    try:
        image = Image.open(io.BytesIO(raw))
        image.load()
        return image
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise Unfit(f"bytes that are not an image ({error})") from None
