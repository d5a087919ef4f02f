"""The typed gRPC service of a node, called as its users would: with stubs that grpcio-tools generates from the printed `.proto`, and
without any, by both versions of reflection."""

from __future__ import annotations

import datetime
import importlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from conftest import Roost
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "roost.nodes.every_type.Node"
SETUP = """
import datetime
import numpy as np, pandas as pd
matrix = np.array([[1.5, 2]], 'float32')
wide = np.array([1.5])
counts = np.array([1, 2])
pixels = np.array([255], 'uint8')
flags = np.array([True])
table = pd.DataFrame({'price': [1.5], 'n': [1], 'at': pd.to_datetime(['2026-01-01'])})
options = {'a': [1, None]}
items = [1, 'x']
anything = None
when = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
text, number, ratio, flag, raw = 'a', 1, 0.5, True, b'\\x00'
"""
CELL = """
if number < 0:
    raise ValueError('number is ' + str(number))
kinds = [str(value.dtype) for value in (matrix, wide, counts, pixels, flags)] + [str(kind) for kind in table.dtypes]
matrix2 = matrix * 2
counts2 = counts + 1
table2 = table.assign(total=table.price * table.n)
echo = {'options': options, 'items': items, 'anything': anything, 'text': text, 'raw': list(raw)}
later = when + datetime.timedelta(days=1)
number2, ratio2, flag2, raw2 = number + 1, ratio / 2, not flag, raw + b'!'
"""
INPUTS = {
    "matrix": "numpy.ndarray", "wide": "numpy.ndarray", "counts": "numpy.ndarray", "pixels": "numpy.ndarray", "flags": "numpy.ndarray",
    "table": "pandas.DataFrame", "options": "dict", "items": "list", "anything": "any", "when": "datetime", "text": "str",
    "number": "int", "ratio": "float", "flag": "bool", "raw": "bytes",
}  # fmt: skip
OUTPUTS = {
    "kinds": "list", "matrix2": "numpy.ndarray", "counts2": "numpy.ndarray", "table2": "pandas.DataFrame", "echo": "dict",
    "later": "datetime", "number2": "int", "ratio2": "float", "flag2": "bool", "raw2": "bytes",
}  # fmt: skip
REQUEST: dict[str, Any] = {
    "matrix": {"shape": [2, 1], "values": [0.5, 1]}, "wide": {"values": [3]}, "counts": {"values": [2**53 + 1]},
    "pixels": {"values": [7]}, "flags": {"values": [False, True]}, "table": [{"price": 2, "n": 3, "at": "2026-02-03"}],
    "options": {"b": [True]}, "items": ["y"], "anything": [1], "when": "2026-11-21T10:00:00Z", "text": "ж", "number": 2**53 + 1,
    "ratio": 0.25, "flag": False, "raw": "AP8=",
}  # fmt: skip


@pytest.fixture(scope="module")
def node(roost: Roost) -> str:
    roost.checkpoint(SETUP, CELL, name="every-type")
    return roost.node(
        "every-type",
        inputs=[f"{name}:{kind}" for name, kind in INPUTS.items()],
        outputs=[f"{name}:{kind}" for name, kind in OUTPUTS.items()],
    )


@pytest.fixture
def stubs(roost: Roost, node: str, tmp_path: pathlib.Path) -> Iterator[tuple[Any, Any]]:
    """The generated modules: messages and stubs."""
    (tmp_path / "every_type.proto").write_text(roost.cli("node", "api", "every-type", "--proto").stdout)
    made = subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}",
            "every_type.proto",
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0 and not made.stderr, made.stderr
    sys.path.insert(0, str(tmp_path))
    try:
        yield importlib.import_module("every_type_pb2"), importlib.import_module("every_type_pb2_grpc")
    finally:
        sys.path.remove(str(tmp_path))
        for name in ("every_type_pb2", "every_type_pb2_grpc"):
            sys.modules.pop(name, None)


@pytest.fixture
def channel(roost: Roost) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{roost.port}") as channel:
        yield channel


def bearer(roost: Roost) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {roost.token}")]


def check(answer: Any) -> None:
    """The answer to REQUEST, in messages of whatever origin."""
    assert list(answer.kinds)[:5] == ["float32", "float64", "int64", "uint8", "bool"]
    kinds = list(answer.kinds)[5:]
    assert kinds[:2] == ["float64", "int64"] and kinds[2].startswith("datetime64")
    assert list(answer.matrix2.shape) == [2, 1] and list(answer.matrix2.values) == [1, 2]
    assert list(answer.counts2.values) == [2**53 + 2] and answer.number2 == 2**53 + 2
    echo = json_format.MessageToDict(answer.echo)
    assert echo == {"options": {"b": [True]}, "items": ["y"], "anything": [1], "text": "ж", "raw": [0, 255]}
    assert answer.later.ToDatetime() == datetime.datetime(2026, 11, 22, 10)
    assert (answer.ratio2, answer.flag2, answer.raw2) == (0.125, True, b"\x00\xff!")
    assert "6.0" in str(json_format.MessageToDict(answer).get("table2"))


def test_generated_stubs_call_the_node(roost: Roost, stubs: tuple[Any, Any], channel: grpc.Channel) -> None:
    messages, services = stubs
    stub = services.NodeStub(channel)
    request = messages.Input(
        matrix=messages.FloatTensor(shape=[2, 1], values=[0.5, 1]), wide=messages.DoubleTensor(values=[3]),
        counts=messages.Int64Tensor(values=[2**53 + 1]), pixels=messages.UInt64Tensor(values=[7]),
        flags=messages.BoolTensor(values=[False, True]), text="ж", number=2**53 + 1, ratio=0.25, flag=False, raw=b"\x00\xff",
    )  # fmt: skip
    request.table.append({"price": 2, "n": 3, "at": "2026-02-03"})
    request.options.update({"b": [True]})
    request.items.append("y")
    request.anything.list_value.append(1)
    request.when.FromDatetime(datetime.datetime(2026, 11, 21, 10))
    check(stub.Execute(request, metadata=bearer(roost), timeout=30))
    future = stub.Execute.future(request, metadata=bearer(roost), timeout=30)
    check(future.result(timeout=30))


def test_generated_stubs_see_errors_with_codes_and_details(
    roost: Roost, stubs: tuple[Any, Any], channel: grpc.Channel
) -> None:
    messages, services = stubs
    stub = services.NodeStub(channel)
    good = json_format.ParseDict(REQUEST, messages.Input())

    def refused(change: Any, **more: Any) -> grpc.RpcError:
        request = messages.Input.FromString(good.SerializeToString())
        change(request)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Execute(request, timeout=30, **{"metadata": bearer(roost), **more})
        return caught.value

    missing = refused(lambda request: request.ClearField("number"))
    assert missing.code() == grpc.StatusCode.INVALID_ARGUMENT and "input 'number' is missing" in missing.details()
    small = refused(lambda request: request.pixels.values.append(256))
    assert small.code() == grpc.StatusCode.INVALID_ARGUMENT and "pixels" in small.details(), small.details()

    def mistype(request: Any) -> None:
        request.table[0]["price"] = "cheap"

    column = refused(mistype)
    assert column.code() == grpc.StatusCode.INVALID_ARGUMENT and "'cheap' in the column 'price'" in column.details()
    failed = refused(lambda request: setattr(request, "number", -1))
    assert failed.code() == grpc.StatusCode.UNKNOWN and "number is -1" in failed.details()
    details = status_pb2.Status.FromString(dict(failed.trailing_metadata())["grpc-status-details-bin"]).details
    assert details[0].type_url.endswith("NodeExecutionErrorDetails")
    assert refused(lambda request: None, metadata=[]).code() == grpc.StatusCode.UNAUTHENTICATED


class Version(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
    """Sends grpcio's reflection client, which knows v1alpha, to a version of the service, with a token."""

    def __init__(self, version: str, metadata: list[tuple[str, str]]) -> None:
        self.method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        self.metadata = metadata
        self.asked = 0

    def intercept_stream_stream(self, proceed: Any, details: Any, requests: Any) -> Any:
        self.asked += 1
        return proceed(details._replace(method=self.method, metadata=self.metadata), requests)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_the_node_is_called_without_stubs_by_reflection(
    roost: Roost, node: str, channel: grpc.Channel, version: str
) -> None:
    through = Version(version, bearer(roost))
    database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, through))
    assert {SERVICE, f"grpc.reflection.{version}.ServerReflection"} <= set(database.get_services())
    pool = descriptor_pool.DescriptorPool(database)
    method = pool.FindServiceByName(SERVICE).methods_by_name["Execute"]
    assert through.asked > 1
    request = json_format.ParseDict(REQUEST, message_factory.GetMessageClass(method.input_type)())
    call = channel.unary_unary(
        f"/{SERVICE}/Execute",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    answer = call(request, metadata=bearer(roost), timeout=30)
    check(answer)


def test_the_example_of_the_node_is_a_typed_request_too(
    roost: Roost, stubs: tuple[Any, Any], channel: grpc.Channel
) -> None:
    messages, services = stubs
    example = json.loads(roost.cli("node", "api", "every-type", "--example").stdout)
    fields = messages.Input.DESCRIPTOR.fields_by_name
    for name, value in example.items():  # arrays have messages of their own
        if fields[name].message_type is not None and fields[name].message_type.name.endswith("Tensor"):
            rows = value if isinstance(value[0], list) else [value]
            shape = [len(value), len(value[0])] if isinstance(value[0], list) else [len(value)]
            example[name] = {"shape": shape, "values": [item for row in rows for item in row]}
    example["when"] = example["when"].replace("+00:00", "Z")
    request = json_format.ParseDict(example, messages.Input())
    answer = services.NodeStub(channel).Execute(request, metadata=bearer(roost), timeout=30)
    assert list(answer.matrix2.values) == [3, 4] and answer.number2 == 2
