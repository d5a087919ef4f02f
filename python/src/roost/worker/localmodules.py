"""Imports project-local modules from the sources that the checkpoint pinned.

Finder and loader follow the protocols of `importlib.abc` without importing it: that costs milliseconds at each start.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any, Callable


class PinnedSource:
    """Loads one module from text."""

    def __init__(self, path: str, source: str, is_package: bool) -> None:
        self._path = path
        self._source = source
        self._is_package = is_package

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """An ordinary module."""

    def get_source(self, fullname: str) -> str:
        """The text, also for tracebacks."""
        return self._source

    def is_package(self, fullname: str) -> bool:
        """Whether submodules may follow."""
        return self._is_package

    def get_code(self, fullname: str) -> CodeType:
        """The compiled text, under a path that tells where it is from."""
        code: CodeType = compile(self._source, self._path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module's code."""
        exec(self.get_code(module.__name__), module.__dict__)


class PinnedFinder:
    """Finds the checkpoint's modules before anything on `sys.path`, so that later edits change nothing."""

    def __init__(self, modules: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], bytes]) -> None:
        self.modules = {module["name"]: module for module in modules}
        self._read = read

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a pinned module; others are left to the other finders."""
        module = self.modules.get(fullname)
        if module is None:
            return None
        package = bool(module.get("isPackage"))
        origin = "<checkpoint>/" + fullname.replace(".", "/") + ("/__init__.py" if package else ".py")
        source = self._read(module["source"]).decode("utf-8")
        loader = PinnedSource(origin, source, package)
        spec = importlib.machinery.ModuleSpec(
            fullname,
            loader,  # type: ignore[arg-type]
            origin=origin,
            is_package=package,
        )
        spec.has_location = True
        return spec


def install(modules: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], bytes]) -> None:
    """Puts the finder in front of the others."""
    finder = PinnedFinder(modules, read)
    if finder.modules:
        sys.meta_path.insert(0, finder)
