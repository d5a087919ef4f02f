"""Phase 1: turns a namespace into a manifest and blobs still in memory. Runs in the kernel, takes milliseconds."""

from __future__ import annotations

import os
import pickle
import reprlib
import sys
import threading
import types
from datetime import datetime, timezone
from importlib import metadata
from typing import Any, Dict, List, NamedTuple, Optional, Union

from roost.checkpoint.analysis import analyse
from roost.checkpoint.example import examples
from roost.checkpoint.failures import Failure, type_name
from roost.checkpoint.groups import dump_all
from roost.checkpoint.localsources import local_sources
from roost.checkpoint.needs import Needs, cell_imports, packages

_HIDDEN = {
    "In",
    "Out",
    "get_ipython",
    "exit",
    "quit",
    "open",
    "_",
    "__",
    "___",
    "_i",
    "_ii",
    "_iii",
    "_ih",
    "_oh",
    "_dh",
}

Data = Union[bytes, pickle.PickleBuffer]


class Cell(NamedTuple):
    """The cell that has just run. `code` is its source without magics' syntax."""

    source: str
    code: str
    execution_count: Optional[int] = None
    cell_id: Optional[str] = None
    notebook: Optional[str] = None


class Captured(NamedTuple):
    """A manifest whose digests are not known yet: each blob stands as an index into `blobs`."""

    manifest: Dict[str, Any]
    blobs: List[Data]
    failures: List[Failure]
    needs: Needs


def user_variables(namespace: Dict[str, Any], initial: Dict[str, Any]) -> Dict[str, Any]:
    """What the user made: neither the kernel's own names nor In, Out and the underscores."""
    found = {}
    for name, value in namespace.items():
        own = name in initial and initial[name] is value
        if own or name in _HIDDEN or (name.startswith("__") and name.endswith("__")):
            continue
        digits = name.lstrip("_").removeprefix("i")
        if name.startswith("_") and (not digits or digits.isdigit()):
            continue
        found[name] = value
    return found


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 8
_SHORT.maxstring = _SHORT.maxother = 100


def _is_nested(value: Any) -> bool:
    """Whether a container holds more than plain values: the `repr` of a list of tables takes seconds."""
    if not isinstance(value, (list, dict, set, tuple)):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return not all(isinstance(part, (str, bytes, int, float, complex, type(None))) for part in parts)


def preview(value: Any) -> str:
    """`repr` in 200 characters; never raises."""
    try:
        if isinstance(value, (list, dict, set, tuple, str, bytes)) and len(value) > 1000:
            return f"{type(value).__name__} of {len(value)}"
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return f"{type(value).__name__} {tuple(value.shape)} {value.dtype}"
        if hasattr(value, "shape") and hasattr(value, "columns"):
            return (
                f"{type(value).__name__} {tuple(value.shape)} {', '.join(map(str, list(value.columns)[:8]))}"
            )
        plain = isinstance(value, (list, dict, set, tuple)) and len(value) > 20
        text = _SHORT.repr(value) if plain or _is_nested(value) else repr(value)
    except Exception as error:
        return f"<{type(value).__name__}: repr failed: {type(error).__name__}>"
    return text if len(text) <= 200 else text[:199] + "…"


MAX_COLUMNS = 256


def details(value: Any) -> Dict[str, Any]:
    """What refines the type of an API's variable: dtype and shape of an array, items of a list, columns of a table; never raises."""
    module = type(value).__module__
    try:
        if type(value) is list:
            return _items(value)
        if module == "numpy" and type(value).__name__ == "ndarray":
            return {"dtype": str(value.dtype), "shape": [int(length) for length in value.shape]}
        if module.split(".")[0] == "pandas" and type(value).__name__ == "Series":
            kind = {"b": "bool", "i": "int", "u": "int", "f": "float"}.get(value.dtype.kind)
            return {"dtype": kind} if kind else {}
        if module.split(".")[0] == "pandas" and type(value).__name__ == "DataFrame":
            if len(value.columns) > MAX_COLUMNS:
                return {}
            kinds = list(value.dtypes)
            return {
                "columns": [
                    {
                        "name": str(name),
                        "dtype": str(kinds[at]),
                        **({"integer": True} if _is_whole(name) else {}),
                    }
                    for at, name in enumerate(value.columns)
                ]
            }
    except Exception:
        return {}
    return {}


def _is_whole(name: Any) -> bool:
    return not isinstance(name, bool) and (isinstance(name, int) or type(name).__name__ == "int64")


MAX_ITEMS = 100_000


def _items(values: Any) -> Dict[str, Any]:
    """The one kind that all items of a list are of; whole numbers among others are numbers like them."""
    if not values or len(values) > MAX_ITEMS:
        return {}
    kinds = {type(item) for item in values}
    if kinds == {int, float}:
        kinds = {float}
    kind = kinds.pop() if len(kinds) == 1 else None
    return {"dtype": kind.__name__} if kind in (bool, int, float, str) else {}


def capture(
    namespace: Dict[str, Any], initial: Dict[str, Any], cell: Cell, operation: str = "Cell run"
) -> Captured:
    """Pickles the structure of the state; big buffers are only referred to."""
    variables = user_variables(namespace, initial)
    modules = {name: value for name, value in variables.items() if isinstance(value, types.ModuleType)}
    values = {name: value for name, value in variables.items() if name not in modules}
    dumps, failures = dump_all(values, namespace)
    blobs: List[Data] = []

    def blob(data: Data) -> Dict[str, Any]:
        blobs.append(data)
        size = len(data) if isinstance(data, bytes) else data.raw().nbytes
        return {"digest": len(blobs) - 1, "size": size}

    needs = Needs(cell_imports(cell.code))
    groups, listed = [], []
    for index, made in enumerate(dumps):
        groups.append(
            {
                "id": index,
                "names": list(made.names),
                "stream": blob(made.stream),
                "buffers": [blob(buffer) for buffer in made.buffers],
                "afterFork": made.after_fork,
            }
        )
        needs.add(made.modules, made.names)
        share = made.size // max(1, len(made.names))
        for name in made.names:
            value = values[name]
            listed.append(
                {
                    "name": name,
                    "type": type_name(value),
                    "size": share,
                    "group": index,
                    "preview": preview(value),
                    **details(value),
                }
            )
    for name, module in modules.items():
        needs.add(packages([module.__name__.partition(".")[0]]), [name])
        version = getattr(module, "__version__", None)
        entry = {"name": name, "type": "builtins.module", "size": 0, "module": module.__name__}
        entry["preview"] = f"module {module.__name__}"
        if isinstance(version, str):
            entry["version"] = version
        listed.append(entry)
    sources = list(local_sources())
    needs.follow(sources)
    analysis = analyse(
        cell.source, cell.code, {**namespace, **{f.name: None for f in failures.values()}}, namespace
    )
    manifest = {
        "formatVersion": 1,
        "createdAt": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "operation": operation,
        "cell": {
            "source": cell.source,
            "code": cell.code,
            "executionCount": cell.execution_count,
            "cellId": cell.cell_id,
            "notebook": cell.notebook,
        },
        "python": {
            "version": "%d.%d.%d" % sys.version_info[:3],
            "implementation": sys.implementation.name,
            "prefix": sys.prefix,
        },
        "packages": installed_packages(),
        "state": {
            "cwd": os.getcwd(),
            "sysPath": [path for path in sys.path if path],
            "threads": threading.active_count(),
        },
        "variables": sorted(listed, key=lambda item: str(item["name"])),
        "groups": groups,
        "localModules": [
            {"name": local.name, "isPackage": local.is_package, "source": blob(local.text)}
            for local in sources
        ],
        "errors": [
            {
                "name": f.name,
                "type": f.type,
                "where": f.where,
                "culprit": f.culprit,
                "reason": f.reason,
                "hint": f.hint,
            }
            for f in failures.values()
        ],
        "analysis": analysis.to_json(),
        "example": examples(analysis, values, failures),
    }
    return Captured(manifest, blobs, list(failures.values()), needs)


_packages: Dict[str, str] = {}


def installed_packages() -> Dict[str, str]:
    """Names and versions of the packages that this process has imported something of."""
    loaded = {name.split(".")[0] for name in list(sys.modules)}
    for name in loaded:
        if name in _packages or name in sys.builtin_module_names or name.startswith("_"):
            continue
        if name in getattr(sys, "stdlib_module_names", ()):
            continue
        version = getattr(sys.modules.get(name), "__version__", None)
        if not isinstance(version, str):
            try:
                version = metadata.version(name)
            except Exception:
                continue
        _packages[name] = version
    return dict(sorted(_packages.items()))


def with_digests(captured: Captured, digests: List[str]) -> Dict[str, Any]:
    """The manifest with each blob's place filled by its digest."""
    manifest = captured.manifest
    for group in manifest["groups"]:
        for entry in (group["stream"], *group["buffers"]):
            entry["digest"] = digests[entry["digest"]]
    for module in manifest["localModules"]:
        module["source"]["digest"] = digests[module["source"]["digest"]]
    return manifest


def raw(data: Data) -> memoryview:
    """The bytes of a blob."""
    return memoryview(data) if isinstance(data, bytes) else data.raw()
