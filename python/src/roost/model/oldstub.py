"""Texts (BYTES) with numpy 2 in a stub of Triton's python backend that was made for numpy 1, as that of the wheel was.

Such a stub reads the descriptor of an array by the layout of numpy 1: what it takes for the size of an item is the lower half of
numpy 2's flags, mostly 0. From it the stub reckons two things of a text tensor:

- the strides of the bytes of an input. With a stride of 0 each byte is the first one. Here numpy reckons them instead.
- how many bytes an output has. Here they leave as items whose size and whose flags are both 1: one byte by either reading.

Numbers need neither, since their memory is handed over by DLPack. A stub that knows numpy 2 is left as it is.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Any, Callable, List

import numpy

NEW_FROM_DESCRIPTOR = 94
"""The place of `PyArray_NewFromDescr` in numpy's table of C functions, the same in numpy 1 and 2."""
PLACES = 300
"""Of the table: more than a stub looks at, fewer than numpy 2 has."""
SIZE_OF_ITEM = 32
"""Where numpy 1 has the size of an item in a descriptor, in bytes from its start."""

_address = ctypes.c_void_p
# Subtype, descriptor, dimensions (count and lengths), strides, data, flags and the object it is made from. Keeps the GIL.
_maker = ctypes.PYFUNCTYPE(
    _address, _address, _address, ctypes.c_int, _address, _address, _address, ctypes.c_int, _address
)
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
_pointer_of.restype = _address
_capsule_of = ctypes.pythonapi.PyCapsule_New
_capsule_of.argtypes = [_address, ctypes.c_char_p, _address]
_capsule_of.restype = ctypes.py_object
# What the stub has the address of lives as long as the process.
_kept: List[Any] = []


def pass_texts(utils: Any, tensor_of: Callable[[str, Any], Any]) -> bool:
    """Makes texts pass through the stub; False of one that reads arrays in a way that is not known here.

    `tensor_of` makes a tensor of numbers, by DLPack. To be called before the stub sees its first array, since it looks for numpy's
    functions then.
    """
    # Where stubs for numpy 1 look for its functions, and later ones don't.
    module: Any = importlib.import_module("numpy.core.multiarray")
    own = module._ARRAY_API
    places = _address * PLACES
    table = places.from_buffer_copy(places.from_address(_pointer_of(own, None) or 0))
    original = _maker(table[NEW_FROM_DESCRIPTOR] or 0)
    is_asked = False

    def make(
        kind: Any, descriptor: Any, count: int, lengths: Any, _: Any, data: Any, flags: int, other: Any
    ) -> Any:
        nonlocal is_asked
        is_asked = True
        # No strides: the stub makes arrays without gaps only, and numpy knows the size of their items.
        return original(kind, descriptor, count, lengths, None, data, flags, other)

    replaced = _maker(make)
    table[NEW_FROM_DESCRIPTOR] = ctypes.cast(replaced, _address).value
    _kept.extend((table, original, replaced))
    module._ARRAY_API = _capsule_of(ctypes.addressof(table), None, None)
    try:
        told = tensor_of("probe", numpy.arange(5, dtype="uint8")).as_numpy().tolist()
    finally:
        module._ARRAY_API = own
    if told != [0, 1, 2, 3, 4]:
        return False
    if is_asked:
        items = one_byte_items(b"probe")
        if (items.size, items.itemsize, size_read(items)) != (5, 1, 1):
            return False
        serialize = utils.serialize_byte_tensor
        utils.serialize_byte_tensor = lambda array: one_byte_items(serialize(array) or b"")
    return True


def one_byte_items(data: bytes) -> Any:
    """An array of these bytes, whose items have one byte by the layout of numpy 1 and of numpy 2.

    For the stub alone: by its flags numpy takes the items for references. It never follows them, as the array does not own them.
    """
    kind: Any = numpy.dtype("V1")  # each is a new object
    array = numpy.frombuffer(data, dtype="uint8").view(kind)
    # Version, byte order, no subarray, names or fields; size, alignment and flags.
    kind.__setstate__((3, "|", None, None, None, 1, 1, 1))
    return array


def size_read(array: Any) -> int:
    """The size of an item that the stub reads."""
    return ctypes.c_int.from_address(id(array.dtype) + SIZE_OF_ITEM).value
