"""How objects of libraries are saved that can't do it themselves, or not well. None of them is imported here."""

from __future__ import annotations

import pickle
import sys
from typing import Any, Dict, Tuple

from roost.worker import rebuild

Reduced = Tuple[Any, ...]

_EXTERNAL_DATA = b"\n\x08location\x12"
"""An entry of the key `location` in an ONNX model: weights that lie in a file beside it."""
_SESSION_OPTIONS = (
    "enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse", "inter_op_num_threads", "intra_op_num_threads",
    "log_severity_level", "use_deterministic_compute",
)  # fmt: skip


class Refused(pickle.PicklingError):
    """An object can't be saved, and none of its parts is to blame."""

    def __init__(self, message: str, culprit: Any) -> None:
        super().__init__(message)
        self.culprit = culprit


def onnx_session(session: Any) -> Any:
    """The model, options and providers of an onnxruntime session; None for anything else.

    The library keeps the model's bytes or its path in private fields; without them the session can't be saved.
    """
    runtime = sys.modules.get("onnxruntime")
    if runtime is None or not isinstance(session, getattr(runtime, "InferenceSession", ())):
        return None
    obj: Any = session
    model, path = getattr(obj, "_model_bytes", None), getattr(obj, "_model_path", None)
    if not model and path:
        try:
            with open(path, "rb") as file:
                model = file.read()
        except OSError as error:
            raise Refused(f"the session's model {path} can't be read: {error.strerror}", obj) from error
    if not model:
        raise Refused("the session does not tell its model", obj)
    model = bytes(model)
    if _EXTERNAL_DATA in model:
        raise Refused("the session's model keeps its weights in files beside it", obj)
    options = obj.get_session_options()
    kept = {name: getattr(options, name) for name in _SESSION_OPTIONS if hasattr(options, name)}
    for name in ("execution_mode", "graph_optimization_level"):
        kept[name] = getattr(options, name).name
    return rebuild.make_onnx_session, (pickle.PickleBuffer(model), kept, list(obj.get_providers()))


class TorchStorages:
    """Saves the memory of tensors out of band, so that instances map it instead of each reading a copy.

    One per stream: tensors that share memory share it when they are restored.
    """

    def __init__(self) -> None:
        self._seen: Dict[Tuple[int, int], Any] = {}

    def reduce(self, obj: Any) -> Any:
        """What to save of a storage; None for anything else."""
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "UntypedStorage"):
            return None
        if isinstance(obj, torch.storage.TypedStorage):
            untyped = obj._untyped_storage
            place = (untyped.data_ptr(), untyped.nbytes())
            # Each tensor makes an object of its own for the same memory: the first stands for all.
            untyped = self._seen.setdefault(place, untyped) if untyped.nbytes() else untyped
            return rebuild.make_typed_storage, (untyped, obj.dtype)
        if isinstance(obj, torch.UntypedStorage) and obj.device.type == "cpu":
            if not obj.nbytes():
                return rebuild.make_storage, (b"",)
            flat = torch.empty(0, dtype=torch.uint8).set_(obj)
            return rebuild.make_storage, (pickle.PickleBuffer(flat.numpy()),)
        return None
