"""Writes the golden bytes of `DynamicValueTests` with Google's protobuf for Python: python make.py > dynamic.json"""

import json
import math
import sys

from google.protobuf import any_pb2, struct_pb2
from google.rpc import error_details_pb2, status_pb2

TEXTS = [
    ("object", {}),
    ("object", {"a": 1, "b": [True, False, None], "c": {"d": "text", "e": -0.5}}),
    ("object", {"": "", "é😀": "\u0001\"\\\n", "n": [0, -1, 255, 256, 65536, 2**53, -(2**53), 1e20, 1.5e-7]}),
    ("object", {"nested": [[[[{"x": [{}]}]]]], "long": "x" * 300}),
    ("list", []),
    ("list", [1, 2.5, "three", None, {"four": 4}]),
    ("value", None),
    ("value", 12345678901234),
    ("value", "é"),
    ("value", [[], {}]),
]
MESSAGES = {"object": struct_pb2.Struct, "list": struct_pb2.ListValue, "value": struct_pb2.Value}


def value(item: object) -> struct_pb2.Value:
    """By hand and in order: the maps of a Struct are written in an order of their own."""
    if item is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(item, bool):
        return struct_pb2.Value(bool_value=item)
    if isinstance(item, (int, float)):
        return struct_pb2.Value(number_value=item)
    if isinstance(item, str):
        return struct_pb2.Value(string_value=item)
    if isinstance(item, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value(i) for i in item]))
    assert isinstance(item, dict)
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields={k: value(v) for k, v in item.items()}))


def main() -> None:
    cases = []
    for shape, item in TEXTS:
        whole = value(item)
        message = {"object": whole.struct_value, "list": whole.list_value, "value": whole}[shape]
        assert isinstance(message, MESSAGES[shape])
        cases.append(
            {
                "shape": shape,
                "json": json.dumps(item, ensure_ascii=False),
                "hex": message.SerializeToString(deterministic=False).hex(),
            }
        )
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.RequestInfo(request_id="r-1"))
    status = status_pb2.Status(code=16, message="токен", details=[detail])
    bad = {
        name: struct_pb2.Struct(fields={"a": value({"b": [1, number]})}).SerializeToString().hex()
        for name, number in [("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)]
    }
    json.dump({"cases": cases, "bad": bad, "status": status.SerializeToString().hex()}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
