"""Types of inputs and outputs, and the JSON of both codecs against one table."""

from __future__ import annotations

import base64
import datetime
import enum
import io
import json
import math
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple

import numpy as np
import pandas as pd
import pytest
from worker_harness import Failure, eventually

from roost.worker import codec
from roost.worker.errors import InputError, OutputError

CODECS = [one for one in (codec.json_codec(), codec.orjson_codec()) if one is not None]
Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Opaque:
    pass


NOT_A_TIME = np.datetime64("NaT")

RENDERED = [
    ({"a": [1, 2.5, "x", None, True]}, {"a": [1, 2.5, "x", None, True]}),
    ('ünïcode \u2028 \x00 "\\', 'ünïcode \u2028 \x00 "\\'),
    ("lone \ud800", "lone \ud800"),
    (float("nan"), None),
    ({"x": [float("inf"), -math.inf, 1.0]}, {"x": [None, None, 1.0]}),
    (2**64, 2**64),
    (-(2**63) - 1, -(2**63) - 1),
    ([10**40, float("nan")], [10**40, None]),
    (1e300, 1e300),
    (5e-324, 5e-324),
    (-0.0, 0.0),
    ({1: "a", None: "b", False: "c", 2.5: "d"}, {"1": "a", "null": "b", "false": "c", "2.5": "d"}),
    ((1, (2, 3)), [1, [2, 3]]),
    (Point(1, 2), [1, 2]),
    (OrderedDict(a=1), {"a": 1}),
    (defaultdict(int, a=1), {"a": 1}),
    (Counter("aab"), {"a": 2, "b": 1}),
    ({"s"}, ["s"]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.keys(), ["a"]),
    (Colour.RED, "red"),
    ({"c": Colour.RED, "l": Level.HIGH}, {"c": "red", "l": 3}),
    ({Colour.RED: 1}, {"red": 1}),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (b"\x00\xff", "AP8="),
    ([bytearray(b"ab")], ["YWI="]),
    (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
    (datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), "2026-01-02T00:00:00+00:00"),
    ([datetime.date(2026, 1, 2), datetime.time(3, 4)], ["2026-01-02", "03:04:00"]),
    (np.float32(1.1), 1.100000023841858),
    (np.float64("nan"), None),
    ({"i": np.int64(5), "b": np.bool_(True), "s": np.str_("x")}, {"i": 5, "b": True, "s": "x"}),
    ({np.int64(5): 1}, {"5": 1}),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array([1.0, np.nan]), [1.0, None]),
    (np.array([1.1], dtype=np.float32), [1.100000023841858]),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"), ["2026-01-01", None]),
    (np.array([np.float32(1), "x", None], dtype=object), [1.0, "x", None]),
    (np.datetime64("2026-01-01T00:00:00"), "2026-01-01T00:00:00"),
    (NOT_A_TIME, None),
    (pd.NaT, None),
    ([pd.NA, pd.Timestamp("2026-01-01")], [None, "2026-01-01T00:00:00"]),
    (pd.Series([1.0, np.nan]), [1.0, None]),
    (pd.Index(["a", "b"]), ["a", "b"]),
    (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
    (
        {"t": pd.DataFrame({"a": [1, 2], "b": [1.5, np.nan]}, index=["x", "y"])},
        {"t": {"columns": ["a", "b"], "index": ["x", "y"], "data": [[1, 1.5], [2, None]]}},
    ),
]


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
@pytest.mark.parametrize("value,expected", RENDERED, ids=lambda value: repr(value)[:40])
def test_a_value_becomes_the_same_json_in_both_codecs(one, value, expected):
    assert json.loads(one.dumps(value, "out")) == expected


def looped():
    items = []
    items.append(items)
    return items


def nested(depth):
    top = []
    for _ in range(depth):
        top = [top]
    return top


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
def test_values_without_a_json_form_are_named_by_their_path(one):
    for value, words in [
        ({"rows": [1, 2, 3, Opaque()]}, "out['rows'][3]: test_worker_values.Opaque has no JSON form"),
        ([1j], "out[0]: builtins.complex has no JSON form"),
        (np.array([1j]), "out: a numpy array of complex128"),
        (looped(), "contains itself"),
        (nested(100000), "nested too deeply"),
        ({1: "a", "1": "b", "n": Opaque()}, "same JSON key '1'"),
    ]:
        with pytest.raises(OutputError) as caught:
            one.dumps(value, "out")
        assert words in caught.value.message and caught.value.variable == "out"


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
def test_deep_values_are_the_same_in_both_codecs(one):
    assert json.loads(one.dumps(nested(500), "out")) == nested(500)


PARSED = [
    (b'{"a": {"b": [1, {"c": 2.5}]}}', {"a": {"b": [1, {"c": 2.5}]}}),
    (b' {"a": "x:y:z"} ', {"a": "x:y:z"}),
    (b'{"a": 18446744073709551616}', {"a": 2**64}),
    (b'{"a": [-9223372036854775809, 1e400]}', {"a": [-(2**63) - 1, math.inf]}),
    (b'{"a": "\\ud83d\\ude00", "b": "\\u0000"}', {"a": "\U0001f600", "b": "\0"}),
    (b'{"a": {"x": 1}, "b": {"x": 1}}', {"a": {"x": 1}, "b": {"x": 1}}),
    (b'[{"x": 1}, {"x": 2}]', [{"x": 1}, {"x": 2}]),
    (
        b'{"a": 1.7976931348623157e308, "b": 0.1, "c": 1E2}',
        {"a": 1.7976931348623157e308, "b": 0.1, "c": 100.0},
    ),
]


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
@pytest.mark.parametrize("raw,expected", PARSED, ids=lambda value: repr(value)[:40])
def test_json_is_parsed_the_same_in_both_codecs(one, raw, expected):
    found = one.loads(raw)
    assert found == expected and repr(found) == repr(expected)


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "raw",
    [
        b"{}", b'{"a":123456789012345678,"b":-99999999999999999}', b'{"a":0.1234567890123456,"b":-1.5,"c":[0,0.0]}',
        b'{"a":{"left":1,"right":10},"b":[{"x":true},{"x":null}]}', b'{"a":"x:y:\\ud83d\\ude00 -0"}', '{"é":"ü"}'.encode(),
    ],
    ids=lambda raw: repr(raw)[:30],
)  # fmt: skip
def test_plain_json_needs_no_second_look(one, raw):
    assert repr(one.parse(raw)) == repr(one.loads(raw))


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
def test_minus_zero_keeps_the_type_of_its_spelling(one):
    assert repr(one.loads(b"[-0, -0.0, 0]")) == "[0, -0.0, 0]"


@pytest.mark.parametrize("one", CODECS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"{}x", b"{'a':1}", b'{"a":1,}', b"[NaN]", b"[Infinity]", b"[-Infinity]", b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}', b'[{"x":{"y":1,"y":2}}]', b'{"a":"x:y","a":1}', b'"\xff"', b"\xef\xbb\xbf{}", b"[01]",
        b"[1.]", b"[.5]", b'["\n"]', b"[" * 100000, b'{"a":' * 100000, b"[1" + b"0" * 5000 + b"]",
    ],
    ids=lambda raw: repr(raw)[:30],
)  # fmt: skip
def test_bad_json_is_refused_by_both_codecs(one, raw):
    with pytest.raises(InputError):
        one.loads(raw)


def png():
    image = pytest.importorskip("PIL.Image").new("RGB", (2, 3), (255, 0, 0))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_each_type_arrives_as_its_python_type(cell):
    kinds = [
        "dict",
        "list",
        "str",
        "int",
        "float",
        "bool",
        "bytes",
        "datetime",
        "numpy.ndarray",
        "pandas.DataFrame",
    ]
    inputs = {f"v{i}": kind for i, kind in enumerate(kinds)}
    code = (
        "import numpy, pandas\n"
        "def show(v):\n"
        "    text = v.shape if isinstance(v, (numpy.ndarray, pandas.DataFrame)) else v\n"
        "    return f'{type(v).__name__} {text}'\n"
        f"out = [show(v) for v in [{', '.join(inputs)}]]"
    )
    client = cell(code, inputs=inputs)
    values = [
        {"a": 1},
        [1],
        "x",
        5,
        2,
        True,
        "AP8=",
        "2026-01-02T03:04:05Z",
        [[1, 2], [3, 4]],
        [{"a": 1}, {"a": 2}],
    ]
    assert client.call(dict(zip(inputs, values))) == {
        "out": [
            "dict {'a': 1}", "list [1]", "str x", "int 5", "float 2.0", "bool True", r"bytes b'\x00\xff'",
            "datetime 2026-01-02 03:04:05+00:00", "ndarray (2, 2)", "DataFrame (2, 1)",
        ]
    }  # fmt: skip
    binary = {
        "dtype": "<f4",
        "shape": [2, 1],
        "data": base64.b64encode(np.array([1, 2], "<f4").tobytes()).decode(),
    }
    split = {"columns": ["a"], "index": ["r"], "data": [[1]]}
    shown = client.call(dict(zip(inputs, values[:8] + [binary, split])))["out"]
    assert shown[8:] == ["ndarray (2, 1)", "DataFrame (1, 1)"]
    wrong = [1, {}, 1, 1.5, "x", 1, "é", "yesterday", [[1], [2, 3]], [1]]
    for name, value in zip(inputs, wrong):
        error = client.call({**dict(zip(inputs, values)), name: value})
        assert isinstance(error, Failure) and error.kind == "input", (name, error)
        assert error.body["variable"] == name and f"input {name!r}: expected {inputs[name]}" in error.message
    for name in inputs:
        error = client.call({**dict(zip(inputs, values)), name: None})
        assert error.kind == "input" and "got null" in error.message


def test_null_is_nan_in_an_array_both_ways(cell):
    client = cell("out = x", inputs={"x": "numpy.ndarray"}, outputs={"out": "numpy.ndarray"})
    assert client.call({"x": [1.5, None]}) == {"out": [1.5, None]}


def test_images_come_and_go_as_base64(cell):
    client = cell(
        "size = list(x.size)\nout = x", inputs={"x": "image"}, outputs={"size": "list", "out": "image"}
    )
    answer = client.call({"x": png()})
    assert answer["size"] == [2, 3] and base64.b64decode(answer["out"]).startswith(b"\x89PNG")
    assert client.call({"x": "AAAA"}).kind == "input"


def test_outputs_must_be_of_their_declared_type(cell):
    outputs = {
        "d": "dict",
        "l": "list",
        "i": "int",
        "f": "float",
        "b": "bool",
        "y": "bytes",
        "a": "numpy.ndarray",
    }
    code = "import numpy\nd, l, i, f, b, y, a = {}, [], numpy.int32(1), 1, numpy.bool_(1), b'a', numpy.ones(1)\nexec(do)"
    client = cell(code, inputs={"do": "str"}, outputs=outputs)
    good = {"d": {}, "l": [], "i": 1, "f": 1, "b": True, "y": "YQ==", "a": [1.0]}
    assert client.call({"do": ""}) == good
    for name, value, actual in [
        ("d", "[]", "list"), ("l", "()", "tuple"), ("i", "True", "bool"), ("i", "1.5", "float"), ("f", "'x'", "str"),
        ("b", "1", "int"), ("y", "'a'", "str"), ("a", "[1]", "list"), ("d", "None", "NoneType"),
    ]:  # fmt: skip
        error = client.call({"do": f"{name} = {value}"})
        assert error.kind == "output" and error.body["variable"] == name, error
        assert f"output {name!r}: expected {outputs[name]}, got {actual}" in error.message
    error = client.call({"do": "del d"})
    assert error.kind == "output" and "did not set its output 'd'" in error.message
    assert client.call({"do": ""}) == good


def test_a_dataframe_comes_back_in_split_form(cell):
    client = cell(
        "out = x.assign(c=x.a * 2)", inputs={"x": "pandas.DataFrame"}, outputs={"out": "pandas.DataFrame"}
    )
    answer = client.call({"x": [{"a": 1, "b": "u"}, {"a": 2, "b": None}]})
    assert answer == {
        "out": {"columns": ["a", "b", "c"], "index": [0, 1], "data": [[1, "u", 2], [2, None, 4]]}
    }


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_answers_up_to_the_limit_are_sent_and_larger_ones_refused(cell, isolation):
    client = cell("out = 'x' * n", inputs={"n": "int"}, isolation=isolation)
    fits = 16 * 1024 * 1024 - len('{"out":""}')
    assert len(client.call({"n": fits})["out"]) == fits
    error = client.call({"n": fits + 1})
    assert error.kind == "output" and "16777217 bytes" in error.message and "16777216" in error.message


@pytest.mark.parametrize("isolation", ["instance", "request"])
def test_an_input_of_16_mib_arrives_whole(cell, isolation):
    client = cell("out = len(x)", inputs={"x": "str"}, isolation=isolation)
    assert client.call({"x": "y" * (16 * 1024 * 1024)}) == {"out": 16 * 1024 * 1024}
    assert client.call({"x": ""}) == {"out": 0}


def test_an_unread_answer_does_not_stop_the_others(cell):
    client = cell("out = 'x' * n", inputs={"n": "int"})
    lazy = client.zygote.connect()
    lazy.sock.sendall(lazy.request(1, {"n": 8_000_000}) + lazy.request(2, {"n": 5}))
    assert client.call({"n": 3}) == {"out": "xxx"}
    assert len(lazy.answer()[1]["out"]) == 8_000_000
    assert lazy.answer() == (2, {"out": "xxxxx"})


def test_two_connections_are_served_in_turn(cell):
    client = cell("order = globals().get('order', []) + [x]\nout = len(order)", inputs={"x": "int"})
    other = client.zygote.connect()
    seen = []
    for number in range(20):
        one = (client, other)[number % 2]
        one.sock.sendall(one.request(number, {"x": number}))
    for one in (client, other):
        for _ in range(10):
            tag, out = one.answer()
            seen.append(out["out"])
    assert sorted(seen) == list(range(1, 21))
    assert seen[:10] == sorted(seen[:10]) and seen[10:] == sorted(seen[10:])


def test_frames_may_arrive_byte_by_byte(cell):
    client = cell("out = x", inputs={"x": "int"})
    data = client.request(1, {"x": 1}) + client.request(2, {"x": 2})
    for at in range(len(data)):
        client.sock.sendall(data[at : at + 1])
    assert [client.answer(), client.answer()] == [(1, {"out": 1}), (2, {"out": 2})]


def test_a_closed_connection_does_not_disturb_the_instance(cell):
    client = cell("out = x", inputs={"x": "int"})
    for _ in range(20):
        other = client.zygote.connect()
        other.sock.sendall(other.request(1, {"x": 1})[:-3])
        other.close()
    assert client.call({"x": 2}) == {"out": 2}
    pid = client.zygote.op("info")["instances"][0]["pid"]
    import os

    eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 20)
