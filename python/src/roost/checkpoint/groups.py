"""Pickles variables one by one, and again together where they share objects, so that aliases survive."""

from __future__ import annotations

import gc
import types
from typing import Any, Dict, List, Tuple

from roost.checkpoint.failures import Failure, explain
from roost.checkpoint.pickling import Dump, dump

_ATOMS = (
    str, bytes, int, float, complex, bool, type(None), type, types.ModuleType, types.FunctionType, types.CodeType,
    types.BuiltinFunctionType, types.CellType, range, tuple, frozenset, slice,
)  # fmt: skip
"""What may be shared without consequence, or is shared by everything."""


def _shareable(obj: Any) -> bool:
    return (
        not isinstance(obj, _ATOMS)
        and type(obj).__name__ != "dtype"
        and not type(obj).__name__.endswith("DType")
    )


def dump_all(values: Dict[str, Any], namespace: Dict[str, Any]) -> Tuple[List[Dump], Dict[str, Failure]]:
    """Streams for all variables that can be saved, and why the others can't.

    The collector is off meanwhile: it costs more than the dump on large graphs.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _dump_all(values, namespace)
    finally:
        if enabled:
            gc.enable()


def _dump_all(values: Dict[str, Any], namespace: Dict[str, Any]) -> Tuple[List[Dump], Dict[str, Failure]]:
    single: Dict[str, Dump] = {}
    failures: Dict[str, Failure] = {}
    for name, value in values.items():
        try:
            single[name] = dump({name: value}, namespace, track=True)
        except Exception as error:
            failures[name] = explain(name, value, namespace, error)
    leader: Dict[str, str] = {name: name for name in single}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    owner: Dict[int, str] = {}
    for name, made in single.items():
        for identity, (_, obj) in made.memo.items():
            if not _shareable(obj):
                continue
            first = owner.setdefault(identity, name)
            if first != name:
                leader[find(name)] = find(first)
    members: Dict[str, List[str]] = {}
    for name in single:
        members.setdefault(find(name), []).append(name)
    dumps: List[Dump] = []
    for names in members.values():
        if len(names) == 1:
            dumps.append(single[names[0]])
            continue
        dumps.append(dump({name: values[name] for name in names}, namespace, track=False))
    for made in dumps:
        made.memo = {}
    return dumps, failures
