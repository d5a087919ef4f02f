"""JSON of requests and answers, the same with and without orjson.

Input is strict JSON: a duplicate key, `NaN`, trailing bytes are refused. Output: NaN, infinities and NaT
become null, numbers of any size are kept, numpy and pandas values become what `tolist` gives, bytes base64, times
ISO 8601. orjson is used where its result is known to be equal; everything else takes the path over `json`.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
import sys
from collections import deque
from enum import Enum
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Callable

from roost.worker.errors import InputError, OutputError

Dumps = Callable[[Any, str], bytes]
Loads = Callable[[bytes], Any]

_SCALARS = frozenset((str, int, bool, type(None)))
_LISTS: tuple[type, ...] = (list, tuple, set, frozenset, deque, range, type({}.keys()), type({}.values()))


class Codec:
    """`loads` for requests, `dumps(value, name)` for answers; `name` begins the path in error messages.

    `parse` is for JSON that was checked and called plain (`docs/formats/worker-protocol.md`): it gives what `loads` gives.
    """

    def __init__(self, name: str, loads: Loads, dumps: Dumps, parse: Loads) -> None:
        self.name = name
        self.loads = loads
        self.parse = parse
        self.dumps = dumps


def chosen() -> Codec:
    """orjson if the environment has it, else the standard library; decided once, in the zygote."""
    global _chosen
    if _chosen is None:
        _chosen = orjson_codec() or json_codec()
    return _chosen


_chosen: Codec | None = None


def _pairs(pairs: list[Any]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise InputError(f"the key {key!r} occurs twice in the input; send each key once")
            seen.add(key)
    return found


def _constant(text: str) -> Any:
    raise InputError(f"the input contains {text}, which is not JSON; send null instead")


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def json_loads(raw: bytes) -> Any:
    """Strict parsing with the standard library."""
    try:
        return _decoder.decode(str(raw, "utf-8"))
    except InputError:
        raise
    except RecursionError:
        raise InputError("the input is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InputError(f"the input is not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise InputError(f"the input is not JSON: {error}") from None


def _refuse(value: Any) -> Any:
    raise TypeError


def _encoder() -> Callable[[Any], str]:
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    options = {
        "ensure_ascii": False,
        "check_circular": False,
        "allow_nan": False,
        "separators": (",", ":"),
        "default": _refuse,
    }
    slow = json.JSONEncoder(**options).encode  # type: ignore[arg-type]
    if make is None:
        return slow
    try:
        encode = make(None, _refuse, encode_basestring, None, ":", ",", False, False, False)
        if "".join(encode({"a": [1, "é"]}, 0)) != slow({"a": [1, "é"]}):
            return slow
    except TypeError:
        return slow
    return lambda value: "".join(encode(value, 0))


_encode = _encoder()


def json_dumps(value: Any, name: str) -> bytes:
    """Encoding with the standard library; a value that it refuses is first made plain."""
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError):  # ValueError: NaN, a lone surrogate
        return _dumps_plain(value, name)


def _dumps_plain(value: Any, name: str) -> bytes:
    try:
        tree = plain(value, name)
        try:
            return _encode(tree).encode()
        except UnicodeEncodeError:
            return json.dumps(tree, separators=(",", ":")).encode()  # a lone surrogate: kept as an escape
    except RecursionError:
        raise OutputError(
            f"{name}: contains itself or is nested too deeply for JSON", _variable(name)
        ) from None


def json_codec() -> Codec:
    """The codec of the standard library."""
    return Codec("json", json_loads, json_dumps, json.loads)


def orjson_codec() -> Codec | None:
    """The codec over orjson, or None where it is not installed."""
    try:
        import orjson
    except ImportError:
        return None
    parse, render = orjson.loads, orjson.dumps
    option = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
    long_number = re.compile(rb"[0-9]{19}").search

    def loads(raw: bytes) -> Any:
        # Longer integers would come back as floats, and -0 as a float. Few digits at all is the quick answer.
        if b"-0" in raw or (len(raw) - len(raw.translate(None, b"0123456789")) > 18 and long_number(raw)):
            return json_loads(raw)
        try:
            value = parse(raw)
        except ValueError:
            return json_loads(raw)  # for its message, and for what only json accepts
        # orjson keeps the last of duplicate keys. A text with as many colons as there are keys has none.
        colons = raw.count(b":")
        if colons:
            if type(value) is dict:
                keys = len(value)
                if keys != colons:
                    for child in value.values():
                        if type(child) is dict:
                            keys += len(child)
                    if keys != colons and _keys(value) != colons:
                        return json_loads(raw)
            elif _keys(value) != colons:
                return json_loads(raw)
        return value

    def dumps(value: Any, name: str) -> bytes:
        try:
            return render(value, None, option)
        except TypeError:
            pass
        tree = None
        try:
            tree = plain(value, name)
            return render(tree, None, option)
        except (TypeError, RecursionError):
            return json_dumps(value if tree is None else tree, name)

    return Codec("orjson", loads, dumps, parse)


def _keys(value: Any) -> int:
    """The number of keys in all objects of a parsed tree."""
    total = 0
    stack = [value]
    while stack:
        top = stack.pop()
        if type(top) is dict:
            total += len(top)
            stack.extend(child for child in top.values() if type(child) is dict or type(child) is list)
        else:
            stack.extend(child for child in top if type(child) is dict or type(child) is list)
    return total


def _variable(path: str) -> str:
    return re.split(r"[\[.]", path, maxsplit=1)[0]


def plain(value: Any, path: str) -> Any:
    """The value as dicts with text keys, lists, text, finite numbers, booleans and None."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        return value if isfinite(value) else None
    if kind is dict:
        return _plain_dict(value, path)
    if kind is list:
        return _plain_list(value, path)
    return _plain_other(value, path)


def _plain_list(items: Any, path: str) -> list[Any]:
    kinds = set(map(type, items))
    if kinds <= _SCALARS:
        return list(items)
    if kinds == {float}:
        return [item if isfinite(item) else None for item in items]
    return [plain(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _plain_dict(items: Any, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, child in items.items():
        text = key if type(key) is str else _key(key)
        if text in found:
            raise OutputError(f"{path}: two keys become the same JSON key {text!r}", _variable(path))
        found[text] = plain(child, f"{path}[{key!r}]")
    return found


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        return _key(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, float):
        return float.__repr__(key)
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, (datetime.datetime, datetime.date)):
        return key.isoformat()
    return str(key)


def _plain_other(value: Any, path: str) -> Any:
    if isinstance(value, Enum):
        return plain(value.value, path)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return plain(float(value), path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return _plain_dict(value, path)
    if isinstance(value, _LISTS):
        return _plain_list(value, path)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return _plain_foreign(value, path)


def _plain_foreign(value: Any, path: str) -> Any:
    numpy, pandas, torch, uuid = (sys.modules.get(name) for name in ("numpy", "pandas", "torch", "uuid"))
    if uuid is not None and isinstance(value, uuid.UUID):
        return str(value)
    if numpy is not None:
        if isinstance(value, numpy.datetime64):
            return None if numpy.isnat(value) else str(value)
        if isinstance(value, numpy.generic) and value.dtype.kind in "biufSU":
            return plain(value.item(), path)
        if isinstance(value, numpy.ndarray):
            return _plain_array(numpy, value, path)
    if pandas is not None:
        if isinstance(value, pandas.DataFrame):
            return frame_to_plain(value, path)
        if isinstance(value, (pandas.Series, pandas.Index, pandas.api.extensions.ExtensionArray)):
            return _plain_list(list(value), path)
    if torch is not None and isinstance(value, torch.Tensor):
        return plain(value.detach().cpu().tolist(), path)
    kind = type(value)
    raise OutputError(f"{path}: {kind.__module__}.{kind.__qualname__} has no JSON form", _variable(path))


def _plain_array(numpy: Any, value: Any, path: str) -> Any:
    kind = value.dtype.kind
    if kind in "biuU":
        return value.tolist()
    if kind == "f" and bool(numpy.isfinite(value).all()):
        return value.tolist()
    if kind == "M":
        texts = numpy.datetime_as_string(value).astype(object)
        texts[numpy.isnat(value)] = None
        return texts.tolist()
    if kind in "fSO":
        return plain(value.tolist(), path)
    raise OutputError(f"{path}: a numpy array of {value.dtype} has no JSON form", _variable(path))


def frame_to_plain(value: Any, path: str) -> dict[str, Any]:
    """A pandas.DataFrame in split form."""
    columns = [
        _plain_list(list(value.iloc[:, at]), f"{path}[{name!r}]") for at, name in enumerate(value.columns)
    ]
    rows = [list(row) for row in zip(*columns)] if columns else [[] for _ in range(len(value))]
    return {
        "columns": _plain_list(list(value.columns), f"{path}.columns"),
        "index": _plain_list(list(value.index), f"{path}.index"),
        "data": rows,
    }
