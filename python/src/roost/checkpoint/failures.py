"""Why a variable can't be saved: the exact path to the culprit, and what the user can do."""

from __future__ import annotations

import time
from collections import deque
from itertools import islice
from types import FunctionType
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from roost.checkpoint.pickling import dump
from roost.checkpoint.reducers import Refused

MAX_TRIES = 500
MAX_SECONDS = 0.3
"""The user waits meanwhile: a rougher path beats a longer pause."""
MAX_CHILDREN = 100


class Failure(NamedTuple):
    """A variable that could not be saved."""

    name: str
    type: str
    where: str
    culprit: str
    reason: str
    hint: str


_HINTS = (
    (
        "onnxruntime.",
        "save the model in one file with its weights in it, or make the session inside the cell",
    ),
    ("sqlite3.", "open the connection inside the cell"),
    ("psycopg", "open the connection inside the cell"),
    ("socket.", "open the connection inside the cell"),
    ("_io.", "open the file inside the cell, or keep its contents in a variable"),
    ("generator", "keep a list of the values instead of the generator"),
    ("coroutine", "await it, and keep the result"),
    ("_thread.", "make the lock inside the cell"),
    ("threading.", "make it inside the cell"),
    ("queue.", "make the queue inside the cell"),
    ("multiprocessing.", "make it inside the cell"),
    ("concurrent.futures.", "make the pool inside the cell"),
    ("subprocess.", "start the process inside the cell"),
    ("asyncio.", "make it inside the cell"),
    ("contextvars.", "set it inside the cell"),
    ("weakref", "keep the object itself instead of a weak reference"),
)


def type_name(value: Any) -> str:
    """`module.qualname` of a value's type."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def explain(name: str, value: Any, namespace: Dict[str, Any], error: BaseException) -> Failure:
    """Looks for the smallest part of the value that fails, breadth first."""
    path, culprit, reason = _culprit(name, value, namespace, error)
    kind = type_name(culprit).removeprefix("builtins.")
    hint = next((text for prefix, text in _HINTS if kind.startswith(prefix)), "make it inside the cell")
    lines = f"{type(reason).__name__}: {reason}".splitlines()
    return Failure(name, type_name(value), path, kind, lines[0][:300], hint)


def _culprit(
    name: str, value: Any, namespace: Dict[str, Any], error: BaseException
) -> Tuple[str, Any, BaseException]:
    """The first failing part none of whose own parts fails; within the limits of tries and time."""
    queue = deque([(name, value, error)])
    seen = {id(value)}
    tries = MAX_TRIES
    deadline = time.monotonic() + MAX_SECONDS
    while True:
        path, part, reason = queue.popleft()
        if isinstance(reason, Refused) and reason.culprit is part:
            return path, part, reason
        failing = False
        for child_path, child in _children(path, part):
            if id(child) in seen:
                continue
            seen.add(id(child))
            tries -= 1
            if tries <= 0 or time.monotonic() > deadline:
                return queue.popleft() if queue else (path, part, reason)
            try:
                dump({"x": child}, namespace, track=False)
            except Exception as inner:
                failing = True
                queue.append((child_path, child, inner))
        if not failing or not queue:
            return path, part, reason


def _children(path: str, value: Any) -> List[Tuple[str, Any]]:
    """The parts of a value and how a program would reach them."""
    items: List[Tuple[str, Any]] = []
    try:
        if isinstance(value, dict):
            items = [(f"{path}[{_text(key)}]", item) for key, item in islice(value.items(), MAX_CHILDREN)]
        elif isinstance(value, (list, tuple)):
            items = [(f"{path}[{index}]", item) for index, item in enumerate(value[:MAX_CHILDREN])]
        elif isinstance(value, (set, frozenset, deque)):
            items = [(f"{path}{{{_text(item)}}}", item) for item in islice(value, MAX_CHILDREN)]
        if not isinstance(value, type):
            items += [(f"{path}.{key}", item) for key, item in islice(_attributes(value), MAX_CHILDREN)]
        if isinstance(value, FunctionType):
            closure = zip(value.__code__.co_freevars, value.__closure__ or ())
            items += [(f"{path}.<closure {key}>", cell.cell_contents) for key, cell in closure]
    except Exception:  # the user's own classes may raise anything
        return items
    return items


def _attributes(value: Any) -> Iterator[Tuple[str, Any]]:
    yield from list(getattr(value, "__dict__", {}).items())
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for key in (slots,) if isinstance(slots, str) else slots:
            if key not in ("__dict__", "__weakref__") and hasattr(value, key):
                yield key, getattr(value, key)


def _text(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 60 else text[:59] + "…"
