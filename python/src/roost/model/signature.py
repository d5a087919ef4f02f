"""What goes into a model and what comes out: names, datatypes and shapes, in the words of the Open Inference Protocol."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from roost.model.errors import ModelError

DATATYPES: Dict[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
"""Datatypes of the protocol, and what numpy calls them."""

NAME = re.compile(r"[A-Za-z0-9_./:\- ()\[\]]{1,200}\Z")
TEXT = re.compile(r"(?P<name>[^:]+):(?P<datatype>[A-Za-z0-9_]+)(\[(?P<shape>[-0-9, ]*)\])?\Z")


class Tensor(NamedTuple):
    """One input or output. A dimension of -1 is any length; the first of a model that takes batches is -1."""

    name: str
    datatype: str
    shape: Tuple[int, ...]

    def json(self) -> Dict[str, Any]:
        """As the protocol writes it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    @property
    def text(self) -> str:
        """As the command line writes it: `x:FP32[-1,8]`."""
        return f"{self.name}:{self.datatype}[{','.join(map(str, self.shape))}]"


class Signature(NamedTuple):
    """Inputs and outputs of a model, and the names of the classes that a number in an output stands for."""

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    labels: Tuple[str, ...] = ()

    def json(self) -> Dict[str, Any]:
        """As it is stored with the model."""
        found: Dict[str, Any] = {
            "inputs": [tensor.json() for tensor in self.inputs],
            "outputs": [tensor.json() for tensor in self.outputs],
        }
        if self.labels:
            found["labels"] = list(self.labels)
        return found

    @property
    def batches(self) -> bool:
        """Requests can be put together: the first dimension of all tensors is any length."""
        tensors = (*self.inputs, *self.outputs)
        return all(len(tensor.shape) > 1 and tensor.shape[0] == -1 for tensor in tensors)


def tensor_from(value: Any, field: str) -> Tensor:
    """A tensor from `name:DATATYPE[shape]` or from `{"name", "datatype", "shape"}`."""
    if isinstance(value, str):
        match = TEXT.match(value.strip())
        if match is None:
            raise ModelError(f"{field}: {value!r} must be like x:FP32[-1,8]", field)
        shape: Any = [part for part in (match["shape"] or "-1").replace(" ", "").split(",") if part]
        name, datatype = match["name"], match["datatype"]
    elif isinstance(value, Mapping):
        unknown = sorted(set(value) - {"name", "datatype", "shape"})
        if unknown:
            raise ModelError(
                f"{field}: unknown member '{unknown[0]}'; a tensor has name, datatype and shape", field
            )
        name, datatype, shape = value.get("name"), value.get("datatype"), value.get("shape")
    else:
        raise ModelError(
            f"{field}: must be text like x:FP32[-1,8] or an object with name, datatype and shape", field
        )
    if not isinstance(name, str) or not NAME.match(name):
        raise ModelError(
            f"{field}: the name {name!r} must be 1 to 200 letters, digits or any of _./:-()[]", field
        )
    datatype = str(datatype).upper()
    if datatype.startswith("TYPE_"):
        datatype = datatype[5:]
    if datatype == "STRING":
        datatype = "BYTES"
    if datatype not in DATATYPES:
        raise ModelError(
            f"{field}: datatype '{datatype}' of '{name}' must be one of {', '.join(DATATYPES)}", field
        )
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise ModelError(f"{field}: '{name}' needs a shape, like [-1,8] (-1: any length)", field)
    dimensions: List[int] = []
    for part in shape:
        try:
            dimensions.append(int(part))
        except (TypeError, ValueError):
            raise ModelError(f"{field}: the dimension {part!r} of '{name}' must be a number", field)
        if dimensions[-1] == 0 or dimensions[-1] < -1:
            raise ModelError(
                f"{field}: the dimension {part} of '{name}' must be above 0, or -1 for any length", field
            )
    return Tensor(name, datatype, tuple(dimensions))


def tensors_from(values: Any, field: str) -> Tuple[Tensor, ...]:
    """Tensors of a list; names are told apart."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ModelError(f"{field}: must be a list", field)
    found = tuple(tensor_from(value, f"{field}[{place}]") for place, value in enumerate(values))
    names = [tensor.name for tensor in found]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"{field}: '{name}' is given twice", field)
    return found


def given(inputs: Any, outputs: Any) -> Optional[Signature]:
    """A signature that somebody wrote; None when nothing was written."""
    if not inputs and not outputs:
        return None
    if not outputs:
        raise ModelError("outputs: inputs are given, so outputs must be given too", "outputs")
    if not inputs:
        raise ModelError("inputs: outputs are given, so inputs must be given too", "inputs")
    return Signature(tensors_from(inputs, "inputs"), tensors_from(outputs, "outputs"))


def signature_from(value: Mapping[str, Any]) -> Signature:
    """Reads what `Signature.json` writes."""
    labels = tuple(str(label) for label in value.get("labels") or ())
    return Signature(
        tensors_from(value["inputs"], "inputs"), tensors_from(value["outputs"], "outputs"), labels
    )


def datatype_of(dtype: Any, name: str) -> str:
    """The protocol's word for a dtype of numpy."""
    text = str(dtype)
    for datatype, numpy_name in DATATYPES.items():
        if text == numpy_name:
            return datatype
    if getattr(dtype, "kind", "") in "SUOT" or text.startswith(("str", "category")):
        return "BYTES"
    raise ModelError(
        f"'{name}' is of dtype {text}, which models can't be sent; use one of {', '.join(DATATYPES)}"
    )


def from_arrays(arrays: Mapping[str, Any]) -> Tuple[Tensor, ...]:
    """Tensors like these arrays, of batches of any length."""
    found = []
    for name, array in arrays.items():
        shape = tuple(int(length) for length in array.shape)
        if not shape:
            raise ModelError(f"example: '{name}' is a single value; models take batches: give an array")
        rest = shape[1:] or (1,)
        found.append(Tensor(name, datatype_of(array.dtype, name), (-1, *rest)))
    return tuple(found)
