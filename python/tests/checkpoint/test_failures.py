"""Variables that can't be saved are named with the exact path, and the others are saved."""

from __future__ import annotations

import gc
from typing import Iterator, Tuple

import pytest
from notebook_state import notebook, variables

from roost.checkpoint.failures import Failure
from roost.checkpoint.groups import dump_all

# From Python 3.13 on a connection of sqlite3 that is not closed is warned of.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _leftovers() -> Iterator[None]:
    """What the notebooks left open ends here, not in a later test."""
    yield
    gc.collect()


def failure(code: str, name: str = "v") -> Failure:
    """The failure of one variable."""
    namespace = notebook(code)
    _, failures = dump_all(variables(namespace), namespace)
    assert set(failures) == {name}
    return failures[name]


PATHS = {
    "nested containers": ("import sqlite3\nv = {'deep': [{'conn': sqlite3.connect(':memory:')}]}", "v['deep'][0]['conn']", "sqlite3.Connection"),
    "attribute of an instance": ("import threading\nclass H:\n  pass\nv = H()\nv.lock = threading.Lock()", "v.lock", "_thread.lock"),
    "item of a tuple": ("v = (1, (i for i in 'ab'))", "v[1]", "generator"),
    "the variable itself": ("import socket\nv = socket.socket()\nv.close()", "v", "socket.socket"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PATHS)
def test_the_culprit_is_found(kind: str) -> None:
    code, where, culprit = PATHS[kind]
    found = failure(code)
    assert (found.where, found.culprit) == (where, culprit)
    assert found.reason and found.hint


def test_a_lock_in_a_slot_is_found() -> None:
    found = failure("import threading\nclass S:\n  __slots__ = ('lock',)\nv = S()\nv.lock = threading.Lock()")
    assert (found.where, found.culprit) == ("v.lock", "_thread.lock")


def test_what_a_closure_holds_is_found() -> None:
    found = failure(
        "import threading\ndef make():\n  lock = threading.Lock()\n  return lambda: lock\nv = make()"
    )
    assert "lock" in found.where
    assert found.culprit == "_thread.lock"


UNSAVED: Tuple[str, ...] = (
    "import threading\nv = threading.Lock()",
    "import threading\nv = threading.RLock()",
    "import threading\nv = threading.Event()",
    "import threading\nv = threading.Thread(target=print)",
    "import threading\nv = threading.local()",
    "import queue\nv = queue.Queue()",
    "import queue\nv = queue.SimpleQueue()",
    "from concurrent.futures import ThreadPoolExecutor\nv = ThreadPoolExecutor(1)",
    "from concurrent.futures import Future\nv = Future()",
    "import tempfile\nv = tempfile.TemporaryFile()\nv.close()",
    "v = open('/dev/null', 'w')\nv.close()",
    "v = open('/etc/hostname')\nv.close()",
    "v = open('/dev/null', 'rb')\nv.close()",
    "import socket\nv = socket.socket()\nv.close()",
    "import contextvars\nv = contextvars.ContextVar('v')",
    "import logging\nv = logging.StreamHandler()",
    "import asyncio\nv = asyncio.new_event_loop()\nv.close()",
    "import weakref\nclass W: pass\nkept = W()\nv = weakref.ref(kept)",
    "import sqlite3\nv = sqlite3.connect(':memory:').cursor()",
    "v = (i for i in 'ab')",
    "import sys\nv = sys._getframe()",
    "import mmap\nv = mmap.mmap(-1, 4096)",
    "import subprocess\nv = subprocess.Popen(['true'])\nv.wait()",
)


@pytest.mark.parametrize("code", UNSAVED, ids=lambda code: code.split("v = ")[-1].splitlines()[0][:40])
def test_a_stand_in_is_never_saved(code: str) -> None:
    assert failure(code).hint


def test_the_rest_is_saved() -> None:
    namespace = notebook("import threading\ngood = [1]\nbad = threading.Lock()\nalso = {'x': good}")
    dumps, failures = dump_all(variables(namespace), namespace)
    assert set(failures) == {"bad"}
    assert sorted(name for one in dumps for name in one.names) == ["also", "good"]


def test_a_recursive_structure_does_not_trap_the_search() -> None:
    found = failure("import threading\nv = {}\nv['self'] = v\nv['a'] = {'lock': threading.Lock(), 'up': v}")
    assert found.where == "v['a']['lock']"


def test_a_class_that_raises_anything_when_saved_is_reported() -> None:
    found = failure("class R:\n  def __reduce__(self):\n    raise ZeroDivisionError('no')\nv = R()")
    assert found.reason == "ZeroDivisionError: no"


def test_a_value_whose_repr_raises_is_reported() -> None:
    code = "class R:\n  def __repr__(self):\n    raise ValueError\n  def __reduce__(self):\n    raise TypeError('no')\nv = {R()}"
    assert failure(code).culprit.endswith("R")
