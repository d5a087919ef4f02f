"""What pickle streams of checkpoints call when they are loaded. Standard library only: it runs in any environment."""

from __future__ import annotations

import functools
import sys
from types import CodeType, FunctionType
from typing import Any, Callable, Optional, Tuple


def make_function(
    code: CodeType,
    name: Optional[str],
    defaults: Optional[Tuple[Any, ...]],
    closure: Optional[Tuple[Any, ...]],
) -> FunctionType:
    """A function of the notebook, bound to the live `__main__`: its `global` statements change the namespace."""
    return FunctionType(code, sys.modules["__main__"].__dict__, name, defaults, closure)


def make_lru_cache(function: Callable[..., Any], maxsize: Optional[int], typed: bool) -> Any:
    """A cached function, with an empty cache."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(function)
