"""Which modules a notebook's variables and cell can't do without, and the distributions that bring them."""

from __future__ import annotations

import ast
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Dict, Iterable, List, Set, Tuple

from roost.checkpoint.localsources import LocalSource
from roost.distributions import imports, owners

_NAMED = (type, FunctionType, BuiltinFunctionType)
_NOT_PACKAGES = {"__main__", "builtins", "roost", "__mp_main__"}
_imports: Dict[Any, Tuple[str, ...]] = {}


class Modules:
    """The modules that one pickle stream refers to. `add` is called for each object that is not built in."""

    def __init__(self) -> None:
        self._kinds: Set[type] = set()
        self._names: Set[str] = set()

    def add(self, obj: Any) -> None:
        """Notes where an object's type, or the object itself, is imported from."""
        if isinstance(obj, _NAMED):
            self._note(getattr(obj, "__module__", None))
            if type(obj) is FunctionType and obj.__module__ == "__main__":
                self._names.update(imports(obj.__code__))
        elif isinstance(obj, ModuleType):
            self._note(obj.__name__)
        else:
            self._kinds.add(type(obj))

    def _note(self, module: Any) -> None:
        if isinstance(module, str):
            self._names.add(module.partition(".")[0])

    def names(self) -> Set[str]:
        """Top-level names of modules that are not of the standard library."""
        for kind in self._kinds:
            self._note(kind.__module__)
        # What streams of functions are loaded by is there in every node.
        return packages(self._names) - {"cloudpickle"}


def packages(names: Iterable[str]) -> Set[str]:
    """Those of the names that a distribution may bring."""
    standard = getattr(sys, "stdlib_module_names", ())
    return {
        name
        for name in names
        if name not in _NOT_PACKAGES and name not in standard and name not in sys.builtin_module_names
    }


def cell_imports(code: str) -> Set[str]:
    """Modules that the cell imports itself."""
    return packages(
        name
        for name in imports(
            compile(code, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        )
        if name in sys.modules
    )


class Needs:
    """Who needs which module: names of variables, and the cell."""

    def __init__(self, cell: Set[str]) -> None:
        self.cell = cell
        self.variables: Dict[str, Set[str]] = {}

    def add(self, modules: Iterable[str], names: Iterable[str]) -> None:
        """Some variables need some modules."""
        for module in modules:
            self.variables.setdefault(module, set()).update(names)

    def follow(self, sources: Iterable[LocalSource]) -> None:
        """Whoever needs a module of the project needs what that imports, and not a distribution of it."""
        local: Dict[str, Set[str]] = {}
        for source in sources:
            local.setdefault(source.name.partition(".")[0], set()).update(_imports_of(source))
        for _ in range(len(local)):
            for top, found in local.items():
                if top in self.cell:
                    self.cell |= found
                if top in self.variables:
                    self.add(found, self.variables[top])
        for top in local:  # their source is in the checkpoint
            self.cell.discard(top)
            self.variables.pop(top, None)

    def distributions(self) -> List[Dict[str, Any]]:
        """The manifest's list. Reads the metadata of installed distributions: not in the notebook's way."""
        wanted = set(self.variables) | self.cell
        merged: Dict[str, Dict[str, Any]] = {}
        for module, owner in sorted(owners(wanted).items()):
            entry = merged.setdefault(
                owner.name,
                {
                    "name": owner.name,
                    "version": owner.version,
                    "modules": [],
                    "variables": set(),
                    "cell": False,
                },
            )
            entry["modules"].append(module)
            entry["variables"] |= self.variables.get(module, set())
            entry["cell"] = entry["cell"] or module in self.cell
        return [{**entry, "variables": sorted(entry["variables"])} for _, entry in sorted(merged.items())]


def _imports_of(source: LocalSource) -> Tuple[str, ...]:
    known = _imports.get((source.name, source.text))
    if known is None:
        try:
            code = compile(source.text, source.name, "exec", dont_inherit=True)
            known = tuple(sorted(packages(name for name in imports(code) if name in sys.modules)))
        except (SyntaxError, ValueError):
            known = ()
        _imports[source.name, source.text] = known
    return known
