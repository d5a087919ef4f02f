"""Restores a checkpoint into the `__main__` module of this process."""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import mmap
import os
import pickle
import re
import sys
import time
import traceback
from types import ModuleType
from typing import Any

from roost.worker import localmodules, reach
from roost.worker.config import Config
from roost.worker.errors import RestoreError

ALWAYS_HASHED_BYTES = 4 * 1024 * 1024
"""Streams up to this size are hashed before they are unpickled; others only after a failure."""


class Restorer:
    """One checkpoint and what of it this process has restored so far."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.manifest = self._read_manifest(config.manifest)
        self.namespace = fresh_main()
        self.restored: list[str] = []
        self.warnings: list[str] = []
        self.seconds = 0.0
        self.after_fork: list[dict[str, Any]] = []
        self._mapped: list[mmap.mmap] = []
        self._done: set[int] = set()
        variables = self.manifest.get("variables", [])
        self._modules: dict[str, dict[str, Any]] = {v["name"]: v for v in variables if v.get("module")}
        self._group_of: dict[str, dict[str, Any]] = {}
        for group in self.manifest.get("groups", []):
            for name in group["names"]:
                self._group_of[name] = group

    @staticmethod
    def _read_manifest(path: str) -> dict[str, Any]:
        try:
            with open(path, "rb") as file:
                manifest = json.loads(file.read())
        except OSError as error:
            raise RestoreError(f"the manifest can't be read: {error}", "manifest", error) from error
        except ValueError as error:
            raise RestoreError(f"the manifest is not JSON: {error}", "manifest", error) from error
        if not isinstance(manifest, dict) or manifest.get("formatVersion") != 1:
            version = manifest.get("formatVersion") if isinstance(manifest, dict) else None
            raise RestoreError(
                f"the checkpoint has format version {version!r}, this worker reads 1", "manifest"
            )
        made_by = str(manifest.get("python", {}).get("version", ""))
        made_for = ".".join(made_by.split(".")[:2])
        ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if made_by and made_for != ours:
            here = ".".join(map(str, sys.version_info[:3]))
            raise RestoreError(
                f"the checkpoint was made by Python {made_by}, nodes of this server run Python {here}: functions "
                f"of one minor version can't be loaded by another; run the cell in a kernel with Python {ours} and "
                f"use its checkpoint, or start the server with `roost serve --python` and a Python {made_for}",
                "manifest",
            )
        return manifest

    @property
    def cell(self) -> dict[str, Any]:
        """The cell of the checkpoint."""
        cell: dict[str, Any] = self.manifest.get("cell") or {}
        return cell

    def restore(self) -> None:
        """Everything that instances may share. Garbage collection stays off: the caller freezes first."""
        started = time.perf_counter()
        gc.disable()
        self._surroundings()
        analysis = self.manifest.get("analysis") or {}
        if self.config.restore == "full" or analysis.get("dynamic"):
            wanted = set(self._modules) | set(self._group_of)
        else:
            inputs = {variable.name for variable in self.config.inputs}
            wanted = reach.seeds(analysis, (variable.name for variable in self.config.outputs)) - inputs
        self._load(wanted)
        self.seconds = time.perf_counter() - started

    def restore_after_fork(self) -> float:
        """Groups with thread pools and the like, which each instance needs for itself."""
        if not self.after_fork:
            return 0.0
        started = time.perf_counter()
        groups, self.after_fork = self.after_fork, []
        gc.disable()
        for group in groups:
            self._load_group(group)
        self._load(reach.names_of_new_functions(self.namespace))
        for group in self.after_fork:
            self._load_group(group)
        self.after_fork = []
        gc.enable()
        return time.perf_counter() - started

    def _surroundings(self) -> None:
        state = self.manifest.get("state") or {}
        cwd = state.get("cwd")
        if cwd and os.path.isdir(cwd):
            os.chdir(cwd)
        prefixes = (sys.prefix, str((self.manifest.get("python") or {}).get("prefix") or sys.prefix))
        for path in state.get("sysPath") or ():
            if path and path not in sys.path and not path.startswith(prefixes) and os.path.exists(path):
                sys.path.append(path)
        localmodules.install(self.manifest.get("localModules") or (), self._blob_bytes)

    def _load(self, wanted: set[str]) -> None:
        """Loads names and what their group mates and functions reach, until nothing is missing."""
        seen: set[str] = set()
        while wanted:
            seen |= wanted
            for name in sorted(wanted):
                if name in self._modules:
                    self._load_module(self._modules[name])
                elif name in self._group_of:
                    group = self._group_of[name]
                    if group.get("afterFork"):
                        if group["id"] not in self._done:
                            self._done.add(group["id"])
                            self.after_fork.append(group)
                    else:
                        self._load_group(group)
            wanted = {
                name
                for name in reach.names_of_new_functions(self.namespace)
                if name not in seen and (name in self._modules or name in self._group_of)
            }

    def _load_module(self, variable: dict[str, Any]) -> None:
        name, module = variable["name"], variable["module"]
        if name in self.namespace:
            return
        try:
            self.namespace[name] = importlib.import_module(module)
        except BaseException as error:
            raise self._failure(
                f"module {module} (variable {name!r}) can't be imported", error, name
            ) from error
        self.restored.append(name)
        saved = variable.get("version")
        found = getattr(self.namespace[name], "__version__", None)
        if saved and isinstance(found, str) and found != saved:
            self.warnings.append(f"{module} is {found} here and was {saved} when the checkpoint was made")

    def _load_group(self, group: dict[str, Any]) -> None:
        if group["id"] in self._done and not group.get("afterFork"):
            return
        self._done.add(group["id"])
        names = group["names"]
        label = ", ".join(repr(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
        stream = self._blob_bytes(group["stream"])
        buffers = [self._map(blob) for blob in group.get("buffers", ())]
        try:
            values = self._unpickle(stream, buffers)
        except BaseException as error:
            for blob in [group["stream"], *group.get("buffers", ())]:
                self._verify(blob)
            raise self._failure(f"{_plural(names)} {label} can't be restored", error, label) from error
        self.namespace.update(values)
        self.restored.extend(name for name in names if name in values)

    def _unpickle(self, stream: bytes, buffers: list[Any]) -> dict[str, Any]:
        """Methods that run while their objects come back (`__setstate__`) may read names of the notebook
        that nothing else has asked for yet: those are loaded, and it is tried again."""
        asked: set[str] = set()
        while True:
            try:
                values: dict[str, Any] = pickle.loads(stream, buffers=buffers)
                return values
            except NameError as error:
                name = (re.findall(r"'(\w+)'", str(error)) or [""])[0]
                group = self._group_of.get(name, {})
                known = name in self._modules or (group and not group.get("afterFork"))
                if name in asked or name in self.namespace or not known:
                    raise
                asked.add(name)
                self._load({name})

    def _failure(self, what: str, error: BaseException, label: str) -> RestoreError:
        if isinstance(error, ModuleNotFoundError) and error.name:
            package = error.name.split(".")[0]
            saved = (self.manifest.get("packages") or {}).get(package)
            wanted = f"; the checkpoint was made with {package} {saved}" if saved else ""
            message = (
                f"package {package} is not installed in the node's environment (needed by {label}){wanted}"
            )
            return RestoreError(message, cause=error)
        return RestoreError(f"{what}: {type(error).__name__}: {error}", cause=error)

    def _path(self, blob: dict[str, Any]) -> str:
        return os.path.join(self.config.blobs, str(blob["digest"]).rpartition(":")[2])

    def _open(self, blob: dict[str, Any]) -> int:
        try:
            fd = os.open(self._path(blob), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise RestoreError(
                f"blob {blob['digest']} is missing: {error.strerror}", "blobs", error
            ) from error
        size = os.fstat(fd).st_size
        if size != blob["size"]:
            os.close(fd)
            raise RestoreError(
                f"blob {blob['digest']} is corrupt: it has {size} bytes, the checkpoint has {blob['size']}",
                "blobs",
            )
        return fd

    def _blob_bytes(self, blob: dict[str, Any]) -> bytes:
        with os.fdopen(self._open(blob), "rb") as file:
            data = file.read()
        if len(data) <= ALWAYS_HASHED_BYTES:
            self._compare(blob, hashlib.sha256(data).hexdigest())
        return data

    def _verify(self, blob: dict[str, Any]) -> None:
        digest = hashlib.sha256()
        with os.fdopen(self._open(blob), "rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
        self._compare(blob, digest.hexdigest())

    @staticmethod
    def _compare(blob: dict[str, Any], found: str) -> None:
        if str(blob["digest"]).rpartition(":")[2] != found:
            raise RestoreError(
                f"blob {blob['digest']} is corrupt: its content has the digest sha256:{found}", "blobs"
            )

    def _map(self, blob: dict[str, Any]) -> Any:
        fd = self._open(blob)
        try:
            if blob["size"] == 0:
                return bytearray()
            mapped = mmap.mmap(
                fd, blob["size"], access=mmap.ACCESS_COPY
            )  # private and writable, shared until written
        finally:
            os.close(fd)
        return mapped


def _plural(names: list[str]) -> str:
    return "variable" if len(names) == 1 else "variables"


def fresh_main() -> dict[str, Any]:
    """Makes the module `__main__` empty, so that the notebook's namespace holds nothing of the worker."""
    previous = sys.modules.get("__main__")
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    main.__dict__["__doc__"] = None
    sys.modules["__main__"] = main
    _launchers.append(previous)  # a module's globals may be cleared when nothing holds it
    return main.__dict__


_launchers: list[Any] = []


def error_json(error: BaseException, phase: str = "restore") -> dict[str, Any]:
    """The error object of the control socket and of `failed` frames."""
    cause = error.cause if isinstance(error, RestoreError) and error.cause is not None else error
    lines: list[str] = []
    for text in traceback.format_exception(type(cause), cause, cause.__traceback__):
        lines.extend(text.rstrip("\n").split("\n"))
    return {
        "phase": error.phase if isinstance(error, RestoreError) else phase,
        "errorName": type(cause).__name__,
        "errorMessage": str(error) or type(error).__name__,
        "traceback": lines[-60:],
    }
