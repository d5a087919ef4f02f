"""Installed distributions and the modules that they bring. Standard library only: it also looks at other environments."""

from __future__ import annotations

import dis
import re
import sys
from importlib import metadata
from types import CodeType
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

_NO_MODULES = ("__pycache__", "..", ".", "bin", "share", "etc", "include")


class Distribution(NamedTuple):
    """One installed distribution; `name` as PEP 503 writes it."""

    name: str
    version: str
    modules: Tuple[str, ...]


def normalized(name: str) -> str:
    """`Foo_Bar.baz` is `foo-bar-baz`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(paths: Optional[List[str]] = None) -> List[Distribution]:
    """All of `sys.path` or of `paths`, by name; where one is there twice, the one that is imported."""
    found: Dict[str, Distribution] = {}
    for one in metadata.distributions(path=sys.path if paths is None else paths):
        name = one.metadata["Name"]
        if name and one.version:
            known = normalized(name)
            if known not in found:
                found[known] = Distribution(known, one.version, tuple(sorted(_modules(one))))
    return [found[name] for name in sorted(found)]


def _modules(one: metadata.Distribution) -> Set[str]:
    """The top-level modules of a distribution."""
    listed = one.read_text("top_level.txt")
    if listed and listed.split():
        return {line.strip().split("/")[0] for line in listed.splitlines() if line.strip()}
    found = set()
    for line in (one.read_text("RECORD") or "").splitlines():
        path = line.split(",")[0].strip('"')
        first, slash, _ = path.partition("/")
        if first in _NO_MODULES or first.endswith((".dist-info", ".data", ".egg-info", ".pth")):
            continue
        if slash:
            found.add(first)
        elif first.endswith((".py", ".so", ".pyd")):
            found.add(first.split(".")[0])
    return {name for name in found if name.isidentifier()}


def owners(modules: Iterable[str]) -> Dict[str, Distribution]:
    """Which distribution brings each top-level module; those of none (built in, local) are left out."""
    wanted = set(modules)
    found: Dict[str, Distribution] = {}
    if not wanted:
        return found
    for name in list(wanted):
        try:
            one = metadata.distribution(name)  # most are named like their module
        except Exception:
            continue
        brought = _modules(one)
        if name in brought and one.version:
            found[name] = Distribution(normalized(one.metadata["Name"]), one.version, tuple(sorted(brought)))
            wanted.discard(name)
    if wanted:
        for made in installed():
            for name in wanted.intersection(made.modules):
                found.setdefault(name, made)
    return found


def imports(code: CodeType) -> Iterator[str]:
    """Top-level names of the modules that code, and code nested in it, imports."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and isinstance(instruction.argval, str):
            top = instruction.argval.partition(".")[0]
            if top:
                yield top
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from imports(constant)
