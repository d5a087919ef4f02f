"""Models that Triton runs by backends of its own, which images have and the wheel has not: no Python, and no packages.

Of ONNX the graph tells names and shapes. A TorchScript file tells neither: Triton takes names that all end in `__NUMBER` for the
places of arguments and results, and any others in the order of the configuration.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from roost.model import onnxgraph
from roost.model.errors import ModelError
from roost.model.signature import Tensor


class Backend(NamedTuple):
    """A backend, and what the file of a model must be called for it."""

    name: str
    file: str
    threads: Tuple[str, str]
    """Parameters for the threads within an operation and for those between operations."""


BACKENDS: Dict[str, Backend] = {
    "onnx": Backend("onnxruntime", "model.onnx", ("intra_op_thread_count", "inter_op_thread_count")),
    "torchscript": Backend("pytorch", "model.pt", ("INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT")),
}
PLACED = re.compile(r".*__(\d+)\Z")


def shapes(kind: str, path: Optional[str]) -> Mapping[str, Tuple[int, ...]]:
    """The shapes of a file's own tensors, where it tells them: lists of single numbers are columns to callers."""
    if kind != "onnx" or path is None:
        return {}
    graph = onnxgraph.read(path)
    return {tensor.name: tensor.shape for tensor in (*graph.inputs, *graph.outputs)}


def reshape(tensor: Tensor, own: Mapping[str, Tuple[int, ...]], batch: int) -> str:
    """How a column of callers becomes a list of the graph, and back."""
    if len(own.get(tensor.name, tensor.shape)) != 1 or len(tensor.shape) != 2:
        return ""
    return " reshape { shape: [ ] }" if batch else " reshape { shape: [ -1 ] }"


def check_places(word: str, tensors: Sequence[Tensor]) -> None:
    """Refuses names that Triton's PyTorch backend would take for another order than that of the signature."""
    places: List[int] = []
    for tensor in tensors:
        match = PLACED.match(tensor.name)
        if match is None:
            return
        places.append(int(match.group(1)))
    if places != list(range(len(places))):
        names = ", ".join(tensor.name for tensor in tensors)
        raise ModelError(
            f"{word}: Triton's PyTorch backend takes the number after '__' for the place of a tensor, and {names} are not "
            f"in the order __0, __1...; name them so, or give --native-backends off",
            word,
        )


def parameters(backend: Backend, threads: int) -> str:
    """Of `config.pbtxt`."""
    values = zip(backend.threads, (threads, 1))
    return "".join(
        f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n' for key, value in values
    )
