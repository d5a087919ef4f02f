"""What a cell reads, sets and does, by bytecode: an AST would miss `match`, `except as` and friends."""

from __future__ import annotations

import ast
import builtins
import dis
import functools
from types import CodeType, FunctionType
from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Set, Tuple

from roost.checkpoint.flow import set_at_end, set_before

_STORES = {"STORE_NAME", "DELETE_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"}
_LOADS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
_DYNAMIC = {"globals", "locals", "vars", "eval", "exec"}
_SHELL_METHODS = {"system", "getoutput", "system_piped", "system_raw"}
_SHELL_MAGICS = {
    "pip", "conda", "mamba", "micromamba", "uv", "bash", "sh", "script", "sx", "system", "ruby", "perl", "cd", "run",
}  # fmt: skip


class Use(NamedTuple):
    """A name at a line of the cell, and the functions through which it is reached."""

    name: str
    line: int
    via: Tuple[str, ...] = ()


class Event(NamedTuple):
    """An instruction that reads or binds a name of the namespace."""

    kind: str
    name: str
    line: int
    offset: int
    nested: bool


class Analysis(NamedTuple):
    """See `analysis` in docs/formats/checkpoint.md."""

    uses: List[Use]
    stores: List[Use]
    unresolved: List[Use]
    dynamic: List[Use]
    shell: List[Tuple[str, int]]
    is_async: bool

    def to_json(self) -> Dict[str, Any]:
        """The manifest's form."""

        def plain(uses: List[Use]) -> List[Dict[str, Any]]:
            return [{"name": use.name, "line": use.line, "via": list(use.via)} for use in uses]

        return {
            "uses": plain(self.uses),
            "stores": plain(self.stores),
            "unresolved": plain(self.unresolved),
            "dynamic": plain(self.dynamic),
            "shell": [{"text": text, "line": line} for text, line in self.shell],
            "isAsync": self.is_async,
        }


def compile_cell(code: str) -> CodeType:
    """The code object that the worker will run."""
    compiled: CodeType = compile(
        code, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
    )
    return compiled


def analyse(
    source: str, code: str, namespace: Dict[str, Any], owner: Optional[Dict[str, Any]] = None
) -> Analysis:
    """Analyses a cell that has just run in `namespace`; `code` is the source without magics' syntax.

    `owner` is the namespace that functions of the notebook have as their globals, where `namespace` is a copy.
    """
    compiled = compile_cell(code)
    before = set_before(compiled)
    at_end = set_at_end(compiled, before)
    events = list(_events(compiled, nested=False))
    stores: Dict[str, Use] = {}
    for event in events:
        if event.kind == "store":
            stores.setdefault(event.name, Use(event.name, event.line))
    uses: Dict[str, Use] = {}
    unresolved: Dict[str, Use] = {}
    dynamic: Dict[str, Use] = {}
    settled: Dict[str, FrozenSet[str]] = {}
    stored: Set[str] = set()
    typed_ipython = "get_ipython" in source
    for kind, name, line, offset, nested in events:
        if kind == "store":
            if not nested:
                stored.add(name)
            continue
        # Code of a function runs later: any store of the cell may come first.
        known = at_end if nested else before.get(offset, frozenset(stores))
        if name in known:
            continue
        maybe_set = name in stored or (nested and name in stores)
        if (name in _DYNAMIC and not maybe_set) or (name == "get_ipython" and typed_ipython):
            dynamic.setdefault(name, Use(name, line))
        if name == "get_ipython":
            continue
        if name in namespace:
            uses.setdefault(name, Use(name, line))
            settled[name] = settled.get(name, known) & known
        elif not (maybe_set or hasattr(builtins, name) or (name.startswith("__") and name.endswith("__"))):
            unresolved.setdefault(name, Use(name, line))
    _reach(uses, dynamic, namespace, settled, namespace if owner is None else owner)
    return Analysis(
        list(uses.values()), list(stores.values()), list(unresolved.values()), list(dynamic.values()),
        _shell(source, code), bool(compiled.co_flags & 0x80),
    )  # fmt: skip


def _events(code: CodeType, nested: bool) -> Iterator[Event]:
    """Loads and stores of namespace names, in the order of the instructions."""
    line = code.co_firstlineno or 1
    local: Set[str] = set()
    for instruction in dis.get_instructions(code):
        positions = getattr(instruction, "positions", None)  # Python 3.11 and later
        if positions is not None and positions.lineno:
            line = positions.lineno
        elif isinstance(instruction.starts_line, int) and not isinstance(instruction.starts_line, bool):
            line = instruction.starts_line
        name = instruction.argval
        if instruction.opname in _STORES:
            if not nested or instruction.opname.endswith("GLOBAL"):
                yield Event("store", name, line, instruction.offset, nested)
            else:
                local.add(name)  # a class body's own names
        elif instruction.opname in _LOADS and isinstance(name, str):
            if name not in local:
                yield Event("load", name, line, instruction.offset, nested)
        elif isinstance(name, CodeType):
            yield from _events(name, nested=True)


def _reach(
    uses: Dict[str, Use],
    dynamic: Dict[str, Use],
    namespace: Dict[str, Any],
    settled: Dict[str, FrozenSet[str]],
    owner: Dict[str, Any],
) -> None:
    """Follows the names through functions and classes of the notebook.

    `settled` has, for each name that the cell reads, what the cell has set by then.
    """
    queue = list(uses.values())
    seen: Set[int] = set()
    while queue:
        use = queue.pop(0)
        for function in _functions(namespace.get(use.name), owner, seen):
            via = (*use.via, use.name)
            for kind, name, _, _, _ in _events(function.__code__, nested=True):
                if kind != "load":
                    continue
                if name in _DYNAMIC and name not in namespace:
                    dynamic.setdefault(name, Use(name, use.line, via))
                if name in namespace and name not in uses and name not in settled[via[0]]:
                    found = Use(name, use.line, via)
                    uses[name] = found
                    queue.append(found)


def _functions(
    value: Any, namespace: Dict[str, Any], seen: Set[int], depth: int = 0
) -> Iterator[FunctionType]:
    """Functions of the notebook that a value is, wraps or has as methods."""
    if value is None or id(value) in seen or depth > 4:
        return
    seen.add(id(value))
    if isinstance(value, FunctionType):
        if value.__globals__ is namespace:
            yield value
        for cell in value.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:
                continue
            yield from _functions(content, namespace, seen, depth + 1)
        yield from _functions(getattr(value, "__wrapped__", None), namespace, seen, depth + 1)
        return
    if isinstance(value, functools.partial):
        yield from _functions(value.func, namespace, seen, depth + 1)
        return
    wrapped = getattr(value, "__wrapped__", None) if type(value).__name__ == "_lru_cache_wrapper" else None
    if wrapped is not None:
        yield from _functions(wrapped, namespace, seen, depth + 1)
        return
    kind = value if isinstance(value, type) else type(value)
    for base in kind.__mro__:
        if base.__module__ != "__main__":
            continue
        for member in vars(base).values():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            yield from _functions(member, namespace, seen, depth + 1)
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) <= 1000:
        for item in value:
            yield from _functions(item, namespace, seen, depth + 1)
    elif isinstance(value, dict) and len(value) <= 1000:
        for item in value.values():
            yield from _functions(item, namespace, seen, depth + 1)


def _shell(source: str, code: str) -> List[Tuple[str, int]]:
    """Shell and package commands, found in the transformed code and shown as the user typed them."""
    found: List[Tuple[str, int]] = []
    lines = source.splitlines()
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if not (
            isinstance(owner, ast.Call)
            and isinstance(owner.func, ast.Name)
            and owner.func.id == "get_ipython"
        ):
            continue
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        magic = node.func.attr in ("run_line_magic", "run_cell_magic") and first in _SHELL_MAGICS
        if node.func.attr in _SHELL_METHODS or magic:
            line = node.lineno
            text = lines[line - 1].strip() if line <= len(lines) else str(first)
            found.append((text, line))
    return sorted(found, key=lambda item: item[1])
