"""The pickler of checkpoints: cloudpickle, with functions bound to the live namespace and buffers out of band."""

from __future__ import annotations

import functools
import io
import pickle
from types import FunctionType
from typing import Any, Dict, FrozenSet, List, Tuple

import cloudpickle.cloudpickle as cp

from roost.checkpoint import reducers
from roost.checkpoint.needs import Modules
from roost.worker import rebuild

IN_BAND_BYTES = 32 << 10
"""Smaller buffers stay in the stream: a blob of their own would cost more than it saves."""

_LRU = type(functools.lru_cache(maxsize=1)(lambda: None))


class StatePickler(cp.Pickler):  # type: ignore[misc]
    """Pickles objects of one namespace; protocol 5."""

    def __init__(
        self, file: io.BytesIO, namespace: Dict[str, Any], buffers: List[pickle.PickleBuffer]
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=self._take)
        self._namespace = namespace
        self._buffers = buffers
        self._storages = reducers.TorchStorages()
        self.modules = Modules()
        self.after_fork = False
        """Whether the stream holds an object with threads, which each instance must make for itself."""

    def _take(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            if buffer.raw().nbytes < IN_BAND_BYTES:
                return True
        except BufferError:
            return True  # not contiguous: the stream takes a copy
        self._buffers.append(buffer)
        return False

    def reducer_override(self, obj: Any) -> Any:
        """Called for what is not built in, so that lists of numbers cost nothing."""
        self.modules.add(obj)
        if isinstance(obj, _LRU):
            settings = obj.cache_parameters()
            return rebuild.make_lru_cache, (obj.__wrapped__, settings["maxsize"], settings["typed"])
        if isinstance(obj, io.IOBase) and not isinstance(obj, (io.BytesIO, io.StringIO)):
            # cloudpickle would save the text of a file open for reading: a different object, silently.
            raise pickle.PicklingError(f"cannot pickle an open file ({getattr(obj, 'name', '?')!r})")
        reduced = reducers.onnx_session(obj)
        if reduced is not None:
            self.after_fork = True
            return reduced
        reduced = self._storages.reduce(obj)
        return super().reducer_override(obj) if reduced is None else reduced

    def _dynamic_function_reduce(self, func: FunctionType) -> Any:
        """A function of the notebook gets the live namespace as its globals, not a private copy of them."""
        if func.__globals__ is not self._namespace:
            return super()._dynamic_function_reduce(func)
        code, _, name, defaults, closure = self._function_getnewargs(func)
        state, slots = cp._function_getstate(func)
        slots["__globals__"] = {}
        return (
            rebuild.make_function,
            (code, name, defaults, closure),
            (state, slots),
            None,
            None,
            cp._function_setstate,
        )


class Dump:
    """One pickle stream and the buffers beside it."""

    def __init__(
        self,
        names: Tuple[str, ...],
        stream: bytes,
        buffers: List[pickle.PickleBuffer],
        memo: Any,
        after_fork: bool = False,
        modules: FrozenSet[str] = frozenset(),
    ) -> None:
        self.names = names
        self.stream = stream
        self.buffers = buffers
        self.memo = memo
        self.after_fork = after_fork
        self.modules = modules

    @property
    def size(self) -> int:
        """Bytes of stream and buffers."""
        return len(self.stream) + sum(buffer.raw().nbytes for buffer in self.buffers)


def dump(values: Dict[str, Any], namespace: Dict[str, Any], track: bool) -> Dump:
    """Pickles `{name: value}`; with `track`, keeps the objects that the stream holds (for aliases)."""
    file = io.BytesIO()
    buffers: List[pickle.PickleBuffer] = []
    pickler = StatePickler(file, namespace, buffers)
    pickler.dump(values)
    stream = file.getvalue()
    # Copying the memo of a huge graph costs as much as the dump: aliases of such a variable are not followed.
    memo = pickler.memo.copy() if track and len(stream) <= (8 << 20) else {}
    modules = frozenset(pickler.modules.names())
    return Dump(tuple(values), stream, buffers, memo, pickler.after_fork, modules)
