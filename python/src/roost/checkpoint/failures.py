"""Why a variable can't be saved: the exact path to the culprit, and what the user can do."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from roost.checkpoint.pickling import dump

MAX_ATTEMPTS = 500
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
    path, culprit, reason = name, value, error
    budget = MAX_ATTEMPTS
    while budget > 0:
        found = False
        for child_path, child in _children(path, culprit):
            budget -= 1
            if budget <= 0:
                break
            try:
                dump({"x": child}, namespace, track=False)
            except Exception as inner:
                path, culprit, reason, found = child_path, child, inner, True
                break
        if not found:
            break
    kind = type_name(culprit)
    hint = next((text for prefix, text in _HINTS if kind.removeprefix("builtins.").startswith(prefix)), "")
    text = f"{type(reason).__name__}: {reason}".splitlines()[0][:300]
    return Failure(
        name, type_name(value), path, kind.removeprefix("builtins."), text, hint or "make it inside the cell"
    )


def _children(path: str, value: Any) -> Iterator[Tuple[str, Any]]:
    items: List[Tuple[str, Any]] = []
    try:
        if isinstance(value, dict):
            items = [(f"{path}[{key!r}]", item) for key, item in list(value.items())[:MAX_CHILDREN]]
        elif isinstance(value, (list, tuple)):
            items = [(f"{path}[{index}]", item) for index, item in enumerate(value[:MAX_CHILDREN])]
        elif isinstance(value, (set, frozenset)):
            items = [(f"{path}{{{item!r}}}", item) for item in list(value)[:MAX_CHILDREN]]
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            items = [(f"{path}.{key}", item) for key, item in list(vars(value).items())[:MAX_CHILDREN]]
        closure = getattr(value, "__closure__", None)
        if closure:
            names = value.__code__.co_freevars
            items += [(f"{path}.<closure {key}>", cell.cell_contents) for key, cell in zip(names, closure)]
    except Exception:
        return
    yield from items
