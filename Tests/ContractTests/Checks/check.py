"""Checks with the tools of others what `ContractTests` has written into a folder.

check.py protos FOLDER    every FOLDER/protos/*.proto compiles to the descriptor beside it in FOLDER/descriptors
check.py input FOLDER     writes FOLDER/input.bin with classes generated from the node's .proto
check.py output FOLDER    reads FOLDER/output.bin with them
check.py openapi FOLDER   validates FOLDER/openapi.json, and values against its schemas
"""

import datetime
import importlib
import json
import math
import pathlib
import sys

import google.protobuf
import google.rpc.status_pb2
from google.protobuf import any_pb2, descriptor_pb2, struct_pb2, timestamp_pb2
from grpc_tools import protoc

NODE = "nodes/my_node"


def compile_all(folder: pathlib.Path, *arguments: str) -> None:
    protos = folder / "protos"
    files = [str(path.relative_to(protos)) for path in sorted(protos.rglob("*.proto"))]
    code = protoc.main(["protoc", f"-I{protos}", "--fatal_warnings", *arguments, *files])
    assert code == 0, "protoc refuses a text"


def check_protos(folder: pathlib.Path) -> None:
    compile_all(folder, f"--descriptor_set_out={folder}/all.bin", "--include_imports")
    compiled = descriptor_pb2.FileDescriptorSet.FromString((folder / "all.bin").read_bytes())
    originals = {
        module.DESCRIPTOR.name: module
        for module in (any_pb2, struct_pb2, timestamp_pb2, google.rpc.status_pb2)
    }
    seen = 0
    for theirs in compiled.file:
        theirs.ClearField("source_code_info")
        path = folder / "descriptors" / (theirs.name + ".bin")
        ours = descriptor_pb2.FileDescriptorProto.FromString(path.read_bytes())
        assert ours == theirs, f"{theirs.name}:\n{ours}\n--- protoc:\n{theirs}"
        seen += 1
        if theirs.name in originals:
            original = descriptor_pb2.FileDescriptorProto()
            originals[theirs.name].DESCRIPTOR.CopyToProto(original)
            for file in (original, ours):
                for message in file.message_type:
                    for part in [message, *message.nested_type]:
                        for field in part.field:
                            field.ClearField("json_name")
            assert ours == original, f"{theirs.name} differs from the original"
    assert seen >= 12, seen
    print(f"{seen} files")


def generated(folder: pathlib.Path):
    out = folder / "generated"
    out.mkdir(exist_ok=True)
    protos = folder / "protos"
    code = protoc.main(["protoc", f"-I{protos}", f"--python_out={out}", f"{NODE}.proto"])
    assert code == 0
    sys.path.insert(0, str(out))
    return importlib.import_module(NODE.replace("/", ".") + "_pb2")


def make_input(folder: pathlib.Path) -> None:
    node = generated(folder)
    message = node.Input(count=2**53 + 1, ratio=0.5, text="é", flag=False, raw=b"\x00\xff")
    message.options.update({"a": [1, 2.5, None], "b": {"c": True}})
    message.items.extend([1, "two"])
    message.v10.CopyFrom(struct_pb2.Value(string_value="any"))
    message.when.FromDatetime(datetime.datetime(2026, 11, 21, 10, 0, 0, 123456))
    message.matrix.shape.extend([2, 2])
    message.matrix.values.extend([1, 2, 3, math.nan])
    message.pixels.values.extend([0, 255])
    message.table.extend([{"price": 1.5, "name": "x"}])
    (folder / "input.bin").write_bytes(message.SerializeToString())


def read_output(folder: pathlib.Path) -> None:
    node = generated(folder)
    message = node.Output.FromString((folder / "output.bin").read_bytes())
    assert dict(message.options) == {"a": 1.0}, message.options
    assert list(message.items) == [1.0, None, "x"]
    assert message.count == -(2**63) and math.isnan(message.ratio) and message.text == "ж" and message.flag
    assert message.raw == b"\x00\xff"
    assert message.when.ToDatetime() == datetime.datetime(2026, 11, 21, 7, 0, 0, 500000)
    assert list(message.matrix.shape) == [2, 2]
    values = list(message.matrix.values)
    assert values[:3] == [1, 2.5, 3] and math.isnan(values[3]), values
    assert list(message.pixels.values) == [1, 2, 3] and list(message.pixels.shape) == [3, 1]
    assert [dict(row) for row in message.table] == [{"price": 1.5, "name": "x"}, {"price": None, "name": "y"}]
    assert node.DESCRIPTOR.services_by_name["Node"].methods_by_name["Execute"].input_type.name == "Input"
    assert message.DESCRIPTOR.fields_by_name["v10"].json_name == "größe"


def check_openapi(folder: pathlib.Path) -> None:
    from jsonschema import Draft202012Validator
    from openapi_spec_validator import OpenAPIV31SpecValidator

    document = json.loads((folder / "openapi.json").read_text())
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    for name in ("Input", "Output"):
        validator = Draft202012Validator({**schemas[name], "components": document["components"]})
        for value in json.loads((folder / f"{name}.good.json").read_text()):
            validator.validate(value)
        for value in json.loads((folder / f"{name}.bad.json").read_text()):
            assert not validator.is_valid(value), value
    (path,) = document["paths"].values()
    media = path["post"]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator({**media["schema"], "components": document["components"]})
    validator.validate(media["example"])
    assert media["example"]["input"]["count"] == 3 and media["example"]["folder_id"] == "fld1"


def main() -> None:
    checks = {"protos": check_protos, "input": make_input, "output": read_output, "openapi": check_openapi}
    checks[sys.argv[1]](pathlib.Path(sys.argv[2]))
    print("ok")


if __name__ == "__main__":
    main()
