"""What pickle streams of checkpoints call when they are loaded. Standard library only: it runs in any environment."""

from __future__ import annotations

import functools
import sys
from types import CodeType, FunctionType
from typing import Any, Callable, Dict, List, Optional, Tuple


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


def make_onnx_session(model: Any, options: Dict[str, Any], providers: List[str]) -> Any:
    """An onnxruntime session, with those of its providers that this environment has."""
    import onnxruntime

    made = onnxruntime.SessionOptions()
    for name, value in options.items():
        kind = {
            "execution_mode": "ExecutionMode",
            "graph_optimization_level": "GraphOptimizationLevel",
        }.get(name)
        setattr(made, name, getattr(getattr(onnxruntime, kind), value) if kind else value)
    here = onnxruntime.get_available_providers()
    found = [provider for provider in providers if provider in here]
    if not found:
        raise RuntimeError(
            f"none of the session's providers {providers} is here; this environment has {here}"
        )
    return onnxruntime.InferenceSession(bytes(model), sess_options=made, providers=found)


def make_storage(buffer: Any) -> Any:
    """The memory of tensors, mapped from a blob where it is large; a copy where the stream holds it."""
    import torch

    view = memoryview(buffer)
    if not view.nbytes:
        return torch.UntypedStorage(0)
    return torch.frombuffer(bytearray(view) if view.readonly else view, dtype=torch.uint8).untyped_storage()


def make_typed_storage(untyped: Any, dtype: Any) -> Any:
    """What tensors are rebuilt on: memory with a type."""
    import torch

    return torch.storage.TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)
