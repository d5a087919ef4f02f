"""Sources of the project's own modules: a later edit of a file must not change a checkpoint."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

_inside: Dict[Tuple[str, str], bool] = {}
"""Working directory and file to the verdict: resolving a thousand paths would take most of the pause."""
_texts: Dict[str, Tuple[Any, str, bytes]] = {}
"""Module to its spec, file and text. A reload makes a new spec; an edit without one leaves what was imported."""


class LocalSource(NamedTuple):
    """One imported module of the project."""

    name: str
    is_package: bool
    text: bytes


def local_sources() -> Iterator[LocalSource]:
    """The imported modules whose files lie under the working directory."""
    top = os.getcwd()
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        if name == "__main__" or name.partition(".")[0] == "roost":
            continue
        verdict = _inside.get((top, file))
        if verdict is None:
            verdict = _inside[top, file] = _is_local(top, file)
        if not verdict:
            continue
        text = _text_of(name, module, file)
        if text is not None:
            yield LocalSource(name, hasattr(module, "__path__"), text)


def _is_local(top: str, file: str) -> bool:
    real = os.path.realpath(file)
    if not real.startswith(os.path.join(os.path.realpath(top), "")) or "site-packages" in real:
        return False
    prefixes = {os.path.join(os.path.realpath(prefix), "") for prefix in (sys.prefix, sys.base_prefix)}
    return not real.startswith(tuple(prefixes))


def _text_of(name: str, module: ModuleType, file: str) -> Optional[bytes]:
    spec = getattr(module, "__spec__", None)
    kept = _texts.get(name)
    if kept is not None and kept[0] is spec and kept[1] == file:
        return kept[2]
    try:
        with open(file, "rb") as source:
            text = source.read()
    except OSError:
        return None
    _texts[name] = (spec, file, text)
    return text
