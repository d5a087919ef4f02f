"""What the notebook holds comes back in another process."""

from __future__ import annotations

import pytest
from notebook_state import dumps_of, notebook, restore_and_run

ROUND_TRIPS = {
    "plain values": ("v = {'a': [1, 2.5, None, 'ü', b'x', (1, {2})]}", "assert v == {'a': [1, 2.5, None, 'ü', b'x', (1, {2})]}"),
    "datetime": ("import datetime as d\nv = d.datetime(2026, 1, 2)", "import datetime\nassert v == datetime.datetime(2026, 1, 2)"),
    "regex": ("import re\nv = re.compile('a+')", "assert v.match('aa')"),
    "BytesIO": ("import io\nv = io.BytesIO(b'abc')", "assert v.read() == b'abc'"),
    "function": ("def f(x):\n  return x + 1", "assert f(1) == 2"),
    "function with defaults and annotations": ("def f(x: int, *, y: int = 3) -> int:\n  'doc'\n  return x + y", "assert f(1) == 4 and f.__doc__ == 'doc' and f.__annotations__"),
    "recursive function": ("def f(n):\n  return 1 if n < 2 else n * f(n - 1)", "assert f(5) == 120"),
    "lambda": ("f = lambda x: x * 2", "assert f(4) == 8"),
    "closure": ("def make(n):\n  def add(x):\n    return x + n\n  return add\nadd3 = make(3)", "assert add3(4) == 7"),
    "decorated function": ("import functools\ndef twice(g):\n  @functools.wraps(g)\n  def h(x):\n    return g(g(x))\n  return h\n@twice\ndef f(x):\n  return x + 1", "assert f(1) == 3"),
    "class and instance": ("class C:\n  k = 2\n  def __init__(self, v):\n    self.v = v\n  def m(self):\n    return self.v * self.k\nc = C(4)", "assert c.m() == 8 and type(c) is C and isinstance(c, C)"),
    "subclass with super": ("class A:\n  def m(self):\n    return 1\nclass B(A):\n  def m(self):\n    return super().m() + 1\nb = B()", "assert b.m() == 2 and isinstance(b, A)"),
    "dataclass": ("from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\np = P(3)", "assert p == P(3)"),
    "namedtuple": ("from collections import namedtuple\nN = namedtuple('N', 'a b')\nn = N(1, 2)", "assert n.b == 2 and isinstance(n, N)"),
    "Enum": ("from enum import Enum\nclass E(Enum):\n  ONE = 1\ne = E.ONE", "assert e is E.ONE"),
    "lru_cache": ("from functools import lru_cache\n@lru_cache(maxsize=7)\ndef f(x):\n  return x + 1\nf(1)", "assert f(2) == 3 and f.cache_parameters()['maxsize'] == 7 and f.cache_info().currsize == 1"),
    "partial": ("from functools import partial\ndef f(a, b):\n  return a - b\ng = partial(f, 10)", "assert g(3) == 7"),
    "numpy array": ("import numpy\nv = numpy.arange(100_000)", "assert v.sum() == 4999950000\nv[0] = 7\nassert v[0] == 7"),
    "numpy array, not contiguous": ("import numpy\nv = numpy.arange(100_000)[::2]", "assert v[1] == 2 and len(v) == 50_000"),
    "numpy generator": ("import numpy\nv = numpy.random.default_rng(1)\nw = float(numpy.random.default_rng(1).random())", "assert v.random() == w"),
    "DataFrame": ("import pandas\nv = pandas.DataFrame({'a': range(50_000), 'b': ['x'] * 50_000})", "assert v['a'].sum() == 1249975000 and v['b'][7] == 'x'"),
    "scikit-learn pipeline": (
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import FunctionTransformer\n"
        "from sklearn.linear_model import LinearRegression\n"
        "m = make_pipeline(FunctionTransformer(lambda a: a), LinearRegression()).fit([[0], [1]], [0, 2])",
        "assert abs(m.predict([[3]])[0] - 6) < 1e-9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROUND_TRIPS)
def test_a_value_comes_back_in_a_fresh_process(kind: str) -> None:
    made, check = ROUND_TRIPS[kind]
    restore_and_run(dumps_of(notebook(made)), check)


def test_a_restored_function_changes_the_live_namespace() -> None:
    namespace = notebook("counter = 0\ndef visit():\n  global counter\n  counter += 1\n  return counter")
    restore_and_run(dumps_of(namespace), "visit()\nvisit()\nassert counter == 2")


def test_restored_methods_read_the_live_namespace() -> None:
    namespace = notebook(
        "scale = 2\nclass Model:\n  def predict(self, x):\n    return x * scale\nmodel = Model()"
    )
    restore_and_run(dumps_of(namespace), "scale = 5\nassert model.predict(3) == 15")


def test_a_function_does_not_carry_the_data_that_it_reads() -> None:
    namespace = notebook("import numpy", "big = numpy.zeros(100_000)\ndef f():\n  return big.sum()")
    made = next(one for one in dumps_of(namespace) if "f" in one.names)
    assert made.size < 10_000


def test_large_buffers_leave_the_stream() -> None:
    namespace = notebook("import numpy", "big = numpy.zeros(1_000_000)")
    (made,) = dumps_of(namespace)
    assert len(made.stream) < 1_000
    assert [buffer.raw().nbytes for buffer in made.buffers] == [8_000_000]


def test_saving_twice_gives_the_same_bytes() -> None:
    namespace = notebook(
        "import numpy, pandas\nfrom functools import lru_cache",
        "a = numpy.arange(50_000)\nt = pandas.DataFrame({'x': a, 'y': ['q'] * len(a)})\ns = {'b', 'a', 'c'}\n"
        "@lru_cache\ndef f(x):\n  return a[x]\nclass C:\n  def m(self):\n    return f(1)\nc = C()\nd = {'k': [c, a]}",
    )
    first, second = dumps_of(namespace), dumps_of(namespace)
    assert {one.names: one.stream for one in first} == {one.names: one.stream for one in second}
