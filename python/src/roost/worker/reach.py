"""Which variables of the checkpoint a cell needs: what the manifest says, closed over groups and functions."""

from __future__ import annotations

import gc
from types import CodeType, FunctionType
from typing import Any, Dict, Iterable, Set


def names_of(code: CodeType) -> Set[str]:
    """Every global name that the code and the code nested in it mention (attribute names too: a superset is safe)."""
    found: Set[str] = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= names_of(constant)
    return found


def names_of_new_functions(namespace: Dict[str, Any]) -> Set[str]:
    """Names that functions made since garbage collection was disabled look up in the namespace.

    While the collector is off every new object stays in the youngest generation, so this also finds the methods of
    classes and the functions inside containers that a pickle stream brought with it.
    """
    found: Set[str] = set()
    for item in gc.get_objects(generation=0):
        if type(item) is FunctionType and item.__globals__ is namespace:
            found |= names_of(item.__code__)
    return found


def seeds(analysis: Dict[str, Any], outputs: Iterable[str]) -> Set[str]:
    """The names to begin with: those the cell reads, and outputs that it may leave as they are."""
    return {use["name"] for use in analysis.get("uses", ())} | set(outputs)
