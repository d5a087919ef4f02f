"""Inputs and outputs of an ONNX file, read without any package: weights are skipped, never loaded."""

from __future__ import annotations

import mmap
from typing import Dict, Iterator, List, Set, Tuple, Union

from roost.model.errors import ModelError
from roost.model.signature import Signature, Tensor

ELEMENTS: Dict[int, str] = {
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64", 8: "BYTES",
    9: "BOOL", 10: "FP16", 11: "FP64", 12: "UINT32", 13: "UINT64",
}  # fmt: skip
"""`TensorProto.DataType` of the format."""

Field = Tuple[int, Union[int, Tuple[int, int]]]
"""Number and value of a field: a number, or the range of its bytes."""


class Damaged(Exception):
    """These bytes are no message."""


def fields(data: mmap.mmap, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in a range of bytes."""
    place = start
    while place < end:
        key, place = varint(data, place, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Damaged("field 0")
        if wire == 0:
            value, place = varint(data, place, end)
            yield number, value
        elif wire == 2:
            length, place = varint(data, place, end)
            if place + length > end:
                raise Damaged("a field is longer than its message")
            yield number, (place, place + length)
            place += length
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
            if place > end:
                raise Damaged("a number is cut")
        else:
            raise Damaged(f"wire type {wire}")


def varint(data: mmap.mmap, place: int, end: int) -> Tuple[int, int]:
    """A number and where it ends."""
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise Damaged("a number has no end")


def read(path: str) -> Signature:
    """The signature of an ONNX file. A first dimension that is a name, or none, takes batches."""
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return graph(data)
        except (Damaged, ValueError, UnicodeDecodeError) as error:
            raise ModelError(f"the file is no ONNX model: {error}")


def graph(data: mmap.mmap) -> Signature:
    """Of `ModelProto`: field 7 is the graph."""
    found = [value for number, value in fields(data, 0, len(data)) if number == 7]
    if not found or not isinstance(found[0], tuple):
        raise ModelError("the file is no ONNX model: it has no graph")
    inputs: List[Tensor] = []
    outputs: List[Tensor] = []
    constants: Set[str] = set()
    for number, value in fields(data, *found[0]):
        if not isinstance(value, tuple):
            continue
        if number == 5:
            constants.add(text(data, value, 8))
        elif number in (11, 12):
            (inputs if number == 11 else outputs).append(value_info(data, value))
    inputs = [tensor for tensor in inputs if tensor.name not in constants]
    if not inputs or not outputs:
        raise ModelError(f"the ONNX graph has {len(inputs)} inputs and {len(outputs)} outputs; it needs both")
    return Signature(tuple(inputs), tuple(outputs))


def text(data: mmap.mmap, place: Tuple[int, int], wanted: int) -> str:
    """The first text field of this number; empty when there is none."""
    for number, value in fields(data, *place):
        if number == wanted and isinstance(value, tuple):
            return data[value[0] : value[1]].decode("utf-8")
    return ""


def value_info(data: mmap.mmap, place: Tuple[int, int]) -> Tensor:
    """`ValueInfoProto`: name 1, type 2 > tensor_type 1 > elem_type 1, shape 2 > dim 1 > dim_value 1."""
    name = text(data, place, 1)
    tensor = [v for n, v in fields(data, *place) if n == 2 and isinstance(v, tuple)]
    tensor = [v for t in tensor for n, v in fields(data, *t) if n == 1 and isinstance(v, tuple)]
    if not tensor:
        raise ModelError(
            f"'{name}' of the ONNX graph is no tensor (a sequence or a map); export the model so that it gives tensors "
            "(skl2onnx: options={'zipmap': False})"
        )
    element = 0
    shape: List[int] = []
    for number, value in fields(data, *tensor[0]):
        if number == 1 and isinstance(value, int):
            element = value
        elif number == 2 and isinstance(value, tuple):
            for inner, dimension in fields(data, *value):
                if inner != 1 or not isinstance(dimension, tuple):
                    continue
                lengths = [v for n, v in fields(data, *dimension) if n == 1 and isinstance(v, int)]
                shape.append(lengths[0] if lengths and 0 < lengths[0] < 1 << 62 else -1)
    if element not in ELEMENTS:
        raise ModelError(f"'{name}' of the ONNX graph has element type {element}, which can't be sent")
    return Tensor(name, ELEMENTS[element], tuple(shape))
