"""Variables that share an object are saved together, and others apart."""

from __future__ import annotations

from notebook_state import dumps_of, notebook, restore_and_run


def test_two_names_of_one_list_stay_one_list() -> None:
    dumps = dumps_of(notebook("a = [1]\nb = a"))
    assert [sorted(one.names) for one in dumps] == [["a", "b"]]
    restore_and_run(dumps, "assert a is b\na.append(2)\nassert b == [1, 2]")


def test_an_object_inside_another_stays_the_same_object() -> None:
    dumps = dumps_of(notebook("inner = {'x': 1}\nouter = [{'deep': inner}]\nthird = (outer,)"))
    assert len(dumps) == 1
    restore_and_run(dumps, "assert outer[0]['deep'] is inner and third[0] is outer")


def test_variables_without_a_common_object_are_apart() -> None:
    namespace = notebook(
        "import numpy", "a = [1]\nb = [1]\nc = numpy.zeros(9)\nd = numpy.ones(9)\nt = 'text'\nu = t\nn = None"
    )
    assert all(len(one.names) == 1 for one in dumps_of(namespace))


def test_functions_do_not_tie_their_variables_together() -> None:
    namespace = notebook("a = [1]\nb = [2]\ndef f():\n  return a\ndef g():\n  return b, f()")
    assert all(len(one.names) == 1 for one in dumps_of(namespace))


def test_instances_of_one_class_know_their_class_across_streams() -> None:
    dumps = dumps_of(notebook("class C:\n  pass\nx = C()\ny = C()"))
    restore_and_run(dumps, "assert type(x) is type(y) is C")


def test_an_array_in_two_variables_is_one_array() -> None:
    dumps = dumps_of(notebook("import numpy", "a = numpy.zeros(50_000)\nbox = {'array': a}"))
    assert sum(len(one.buffers) for one in dumps) == 1
    restore_and_run(dumps, "a[0] = 1\nassert box['array'][0] == 1")


def test_closures_over_one_list_share_it() -> None:
    code = "def make():\n  kept = []\n  return kept.append, lambda: list(kept)\nadd, show = make()"
    restore_and_run(dumps_of(notebook(code)), "add(1)\nassert show() == [1]")
