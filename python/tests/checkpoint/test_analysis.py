"""What a cell reads and sets, as the static checks of a node see it."""

from __future__ import annotations

import sys
import textwrap
from typing import Any, Dict, List, Tuple

import pytest
from IPython.core.inputtransformer2 import TransformerManager
from notebook_state import notebook

from roost.checkpoint.analysis import Analysis, analyse

SETS_X: Dict[str, str] = {
    "assignment": "x = 1",
    "augmented assignment": "x += 1",
    "annotated assignment": "x: int = 1",
    "unpacking": "(a, [x, *b]) = 1, [2, 3]",
    "for": "for x in []: pass",
    "with": "with open('f') as x: pass",
    "walrus": "(x := 1)",
    "walrus in a comprehension": "[(x := i) for i in ()]",
    "import": "import x",
    "import as": "import json as x",
    "from import": "from json import dumps as x",
    "def": "def x(): pass",
    "class": "class x: pass",
    "except as": "try: pass\nexcept ValueError as x: pass",
    "del": "del x",
    "global in a function": "def f():\n  global x\n  x = 1",
}
if sys.version_info >= (3, 10):  # a syntax error before
    SETS_X["match capture"] = "match 1:\n  case x: pass"
    SETS_X["match as"] = "match {}:\n  case {'a': 1 as x, **rest}: pass"

LEAVES_X: Dict[str, str] = {
    "item": "x['a'] = 1",
    "attribute": "x.a = 1",
    "local of a function": "def f():\n  x = 1",
    "parameter": "def f(x): return x",
    "comprehension": "y = [x for x in range(3)]",
    "lambda parameter": "y = lambda x: x",
    "attribute of a class": "class C:\n  x = 1",
    "method call": "x.append(1)",
}


def analysis_of(cell: str, *before: str, **extra: Any) -> Analysis:
    """Analyses a cell in the namespace that earlier cells made; the cell itself is not run."""
    namespace = notebook(*(textwrap.dedent(one) for one in before))
    namespace.update(extra)
    source = textwrap.dedent(cell)
    return analyse(source, TransformerManager().transform_cell(source), namespace)


def names(uses: List[Any]) -> List[str]:
    """The names of uses, in order."""
    return [use.name for use in uses]


@pytest.mark.parametrize("kind", SETS_X)
def test_a_store_is_seen(kind: str) -> None:
    assert "x" in names(analysis_of(SETS_X[kind], x={}).stores)


@pytest.mark.parametrize("kind", LEAVES_X)
def test_what_is_no_store_is_left_alone(kind: str) -> None:
    assert "x" not in names(analysis_of(LEAVES_X[kind], x={}).stores)


def test_a_store_has_its_first_line() -> None:
    found = analysis_of("y = 1\n\nx = 2\nx = 3").stores
    assert [(use.name, use.line) for use in found] == [("y", 1), ("x", 3)]


def test_a_name_read_before_it_is_set_is_used() -> None:
    assert names(analysis_of("y = x\nx = 2", x=1).uses) == ["x"]


def test_a_name_set_before_it_is_read_is_not_used() -> None:
    assert names(analysis_of("x = 2\ny = x", x=1).uses) == []


def test_an_augmented_assignment_reads_first() -> None:
    assert names(analysis_of("x += 2", x=1).uses) == ["x"]


MAYBE_SET: Tuple[str, ...] = (
    "if flag:\n  x = 2\ny = x",
    "for _ in []:\n  x = 2\ny = x",
    "while flag:\n  x = 2\ny = x",
    "try:\n  int('a')\n  x = 2\nexcept ValueError:\n  pass\ny = x",
    "flag and (x := 2)\ny = x",
    *(["match flag:\n  case 7:\n    x = 2\ny = x"] if sys.version_info >= (3, 10) else []),
)


@pytest.mark.parametrize("cell", MAYBE_SET, ids=lambda cell: cell.split()[0])
def test_a_name_that_is_only_sometimes_set_is_used(cell: str) -> None:
    assert "x" in names(analysis_of(cell, x=1, flag=0).uses)


ALWAYS_SET: Tuple[str, ...] = (
    "if flag:\n  x = 2\nelse:\n  x = 3\ny = x",
    "try:\n  x = 2\nfinally:\n  pass\ny = x",
    "with open('/dev/null') as f:\n  x = f\ny = x",
    "for x in [1]:\n  y = x",
    "if not flag:\n  raise ValueError\nelse:\n  x = 2\ny = x",
)


@pytest.mark.parametrize("cell", ALWAYS_SET, ids=lambda cell: cell.split()[0])
def test_a_name_that_is_set_on_every_way_is_not_used(cell: str) -> None:
    assert "x" not in names(analysis_of(cell, x=1, flag=0).uses)


def test_functions_of_the_notebook_are_followed() -> None:
    found = analysis_of(
        "y = predict(1)",
        "scale = 2\nunrelated = 3\ndef inner(v):\n  return v * scale\ndef predict(v):\n  return inner(v)",
    ).uses
    assert [(use.name, tuple(use.via)) for use in found] == [
        ("predict", ()), ("inner", ("predict",)), ("scale", ("predict", "inner")),
    ]  # fmt: skip


def test_classes_and_instances_of_the_notebook_are_followed() -> None:
    before = "table = {1: 2}\nclass Model:\n  def predict(self, v):\n    return table[v]\nmodel = Model()"
    assert "table" in names(analysis_of("y = model.predict(1)", before).uses)
    assert "table" in names(analysis_of("y = Model().predict(1)", before).uses)


def test_wrapped_functions_are_followed() -> None:
    before = """
    import functools
    table = {}
    @functools.lru_cache
    def f(v):
        return table[v]
    g = functools.partial(f, 1)
    """
    assert "table" in names(analysis_of("y = f(1)", before).uses)
    assert "table" in names(analysis_of("y = g()", before).uses)


def test_a_function_of_the_cell_is_followed() -> None:
    assert names(analysis_of("def f():\n  return scale\ny = f()", scale=1).uses) == ["scale"]


def test_an_earlier_function_sees_what_the_cell_sets_too_late() -> None:
    found = analysis_of("y = f()\nscale = 3", "scale = 2\ndef f():\n  return scale")
    assert "scale" in names(found.uses)


def test_an_unknown_name_is_unresolved() -> None:
    found = analysis_of("y = modle(1)\nz = len([])", model=1)
    assert [(use.name, use.line) for use in found.unresolved] == [("modle", 1)]


def test_an_unknown_name_in_a_function_of_the_cell_is_unresolved() -> None:
    assert names(analysis_of("def f():\n  return factor").unresolved) == ["factor"]


def test_a_function_defined_later_in_the_cell_is_not_unresolved() -> None:
    found = analysis_of("def f():\n  return g()\ndef g():\n  return 1\nf()")
    assert names(found.unresolved) == []
    assert names(found.uses) == []


@pytest.mark.parametrize("name", ["globals", "locals", "vars", "eval", "exec"])
def test_a_call_that_hides_names_is_dynamic(name: str) -> None:
    assert names(analysis_of(f"y = {name}").dynamic) == [name]


def test_a_dynamic_call_in_an_earlier_function_is_seen() -> None:
    assert names(analysis_of("f()", "def f():\n  return eval('secret')").dynamic) == ["eval"]


SHELL = (
    "!ls",
    "files = !ls",
    "%pip install x",
    "%%bash\nls",
    "%conda list",
    "if True:\n  !ls",
    "%sx ls",
    "!!ls",
    "%%sh\nls",
)


@pytest.mark.parametrize("cell", SHELL, ids=lambda cell: cell.splitlines()[0])
def test_a_shell_command_is_seen(cell: str) -> None:
    found = analysis_of(cell)
    assert len(found.shell) == 1
    assert names(found.dynamic) == []


def test_a_shell_command_is_shown_as_typed_with_its_line() -> None:
    assert analysis_of("y = 1\n!ls -l").shell == [("!ls -l", 2)]


@pytest.mark.parametrize(
    "cell", ["%matplotlib inline\ny = 1", "%time y = 1", "%config Completer.use_jedi = False"]
)
def test_a_harmless_magic_is_no_shell_command(cell: str) -> None:
    assert analysis_of(cell).shell == []


def test_top_level_await_is_seen() -> None:
    before = "import asyncio"
    assert analysis_of("await asyncio.sleep(0)", before).is_async
    assert not analysis_of("async def f():\n  await asyncio.sleep(0)", before).is_async


def test_the_manifest_form_has_the_keys_of_the_format() -> None:
    assert set(analysis_of("x = 1").to_json()) == {
        "uses", "stores", "unresolved", "dynamic", "shell", "isAsync",
    }  # fmt: skip
