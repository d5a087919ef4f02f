"""Which variables a cell needs: what the manifest says, closed over groups and functions."""

from __future__ import annotations

import dis
import gc
from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any

_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "DELETE_GLOBAL"))


def names_of(code: CodeType) -> set[str]:
    """Every global name that the code and the code nested in it read."""
    found: set[str] = {one.argval for one in dis.get_instructions(code) if one.opname in _LOADS}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= names_of(constant)
    return found


def names_of_new_functions(namespace: dict[str, Any]) -> set[str]:
    """Names that functions made since garbage collection was disabled look up in the namespace.

    While the collector is off every new object stays in the youngest generation, so this also finds methods of
    classes and the functions inside containers that a pickle stream brought with it.
    """
    found: set[str] = set()
    for item in gc.get_objects(generation=0):
        if type(item) is FunctionType and item.__globals__ is namespace:
            found |= names_of(item.__code__)
    return found


def seeds(analysis: dict[str, Any], outputs: Iterable[str]) -> set[str]:
    """The names to begin with: those the cell reads, and outputs that it never sets itself."""
    stored = {store["name"] for store in analysis.get("stores", ())}
    return {use["name"] for use in analysis.get("uses", ())} | (set(outputs) - stored)
