"""gRPC with stock clients: grpcio with stubs made by reflection, and the SDK of the system Roost is compatible with."""

from __future__ import annotations

import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import grpc
import grpc_tools
import pytest
from conftest import Roost, wait_for
from google.protobuf import descriptor_pool, json_format, message_factory, struct_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from openapi_spec_validator import OpenAPIV31SpecValidator
from test_keys import command
from test_tls import flags, make, tls_port
from yandex.cloud.datasphere.v1 import node_service_pb2
from yandex.cloud.datasphere.v1.node_execution_error_details_pb2 import NodeExecutionErrorDetails
from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub
from yandex.cloud.operation.operation_service_pb2 import GetOperationRequest
from yandex.cloud.operation.operation_service_pb2_grpc import OperationServiceStub

import yandexcloud

SERVICE = "yandex.cloud.datasphere.v1.NodeService"


@pytest.fixture(scope="module")
def certificate() -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """A chain and its key."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-tls-"))
    yield make(folder, "localhost")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def roost(certificate: tuple[pathlib.Path, pathlib.Path]) -> Iterator[Roost]:
    """One server with a plaintext and a TLS port."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    server = Roost(folder / "data", *flags(*certificate)).start()
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


class Client:
    """Calls methods by their names, with classes made of what reflection says."""

    def __init__(self, roost: Roost, token: str | None = None, options: Any = ()) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}", options=options)
        self.metadata = [("authorization", f"Bearer {roost.token if token is None else token}")]
        self.pool = descriptor_pool.DescriptorPool(Reflected(self.channel, self.metadata))

    def method(self, service: str, name: str) -> Any:
        return self.pool.FindServiceByName(service).methods_by_name[name]

    def call(self, service: str, name: str, values: dict[str, Any], timeout: float = 30, **more: Any) -> Any:
        method = self.method(service, name)
        request = json_format.ParseDict(values, message_factory.GetMessageClass(method.input_type)())
        answer = message_factory.GetMessageClass(method.output_type)
        stub = self.channel.unary_unary(
            f"/{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        metadata = [*self.metadata, *more.pop("metadata", [])]
        return stub(request, metadata=metadata, timeout=timeout, **more)


class Reflected(ProtoReflectionDescriptorDatabase):
    """The reflection client of grpcio, with a token in its calls: nodes are shown to who may call them."""

    def __init__(self, channel: grpc.Channel, metadata: list[tuple[str, str]]) -> None:
        super().__init__(grpc.intercept_channel(channel, Token(metadata)))


class Token(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
    def __init__(self, metadata: list[tuple[str, str]]) -> None:
        self.metadata = metadata

    def intercept_stream_stream(self, proceed: Any, details: Any, requests: Any) -> Any:
        return proceed(details._replace(metadata=self.metadata), requests)


def status(error: grpc.RpcError) -> status_pb2.Status:
    trailers = dict(error.trailing_metadata())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


@pytest.fixture(scope="module")
def randomizer(roost: Roost) -> str:
    roost.checkpoint(
        "input_data = dict(left_bound=1, right_bound=10)",
        "output_data = {'sum': input_data['left_bound'] + input_data['right_bound'], 'half': 0.5, 'none': None}",
        name="randomizer",
    )
    return roost.node("randomizer", inputs=["input_data:dict"], outputs=["output_data:dict"])


@pytest.fixture(scope="module")
def typed(roost: Roost) -> str:
    roost.checkpoint(
        "import numpy as np\nx = np.ones((2, 2), 'float32')\nn = 1\nwhen = None\nimport datetime\nwhen = datetime.datetime.now()",
        "y = x * n\nlater = when + datetime.timedelta(days=1)\nkind = str(x.dtype)\nif n < 0: raise ValueError('n is ' + str(n))",
        name="typed-node",
    )
    return roost.node(
        "typed-node",
        inputs=["x:numpy.ndarray", "n:int", "when:datetime"],
        outputs=["y:numpy.ndarray", "later:datetime", "kind:str"],
    )


def test_execute_answers_a_struct(roost: Roost, randomizer: str) -> None:
    values = {"folder_id": roost.folder, "node_id": randomizer, "input": {"input_data": {"left_bound": 2, "right_bound": 5}}}
    answer = Client(roost).call(SERVICE, "Execute", values)
    assert json_format.MessageToDict(answer) == {"output": {"output_data": {"sum": 7.0, "half": 0.5, "none": None}}}


def test_errors_of_execute_have_codes_and_details(roost: Roost, randomizer: str, typed: str) -> None:
    client = Client(roost)
    good = {"folder_id": roost.folder, "node_id": randomizer, "input": {"input_data": {"left_bound": 2, "right_bound": 5}}}

    def refused(values: dict[str, Any], client: Client = client, **more: Any) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            client.call(SERVICE, "Execute", values, **more)
        return caught.value

    error = refused({**good, "node_id": "no-such-node"})
    assert error.code() == grpc.StatusCode.NOT_FOUND and "no-such-node" in error.details()
    assert refused({**good, "folder_id": "other"}).code() == grpc.StatusCode.PERMISSION_DENIED
    assert refused({**good, "input": {"wrong": 1}}).code() == grpc.StatusCode.INVALID_ARGUMENT
    unnamed = Client(roost)
    unnamed.metadata = []
    assert refused(good, unnamed).code() == grpc.StatusCode.UNAUTHENTICATED
    nan = node_service_pb2.NodeExecutionRequest(folder_id=roost.folder, node_id=randomizer)
    nan.input.update({"input_data": {"x": [1, float("nan")]}})
    with pytest.raises(grpc.RpcError) as caught:
        NodeServiceStub(client.channel).Execute(nan, metadata=client.metadata)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "input.input_data.x[1]: NaN" in caught.value.details()
    # What Python raised travels as a detail.
    error = refused({**good, "input": {"input_data": {"left_bound": 1}}})
    assert error.code() == grpc.StatusCode.UNKNOWN and "KeyError" in error.details()
    details = NodeExecutionErrorDetails()
    assert status(error).details[0].Unpack(details)
    assert details.error_name == "KeyError" and details.error_message == "'right_bound'"
    assert any("output_data" in line for line in details.traceback)


def test_a_deadline_is_kept_and_a_cancelled_call_is_no_answer(roost: Roost) -> None:
    roost.checkpoint("seconds = 0.0", "import time\ntime.sleep(seconds)\nslept = seconds", name="grpc-sleeper")
    node = roost.node("grpc-sleeper", inputs=["seconds:float"], outputs=["slept:float"])
    client = Client(roost)
    values = {"folder_id": roost.folder, "node_id": node, "input": {"seconds": 60}}
    with pytest.raises(grpc.RpcError) as caught:
        client.call(SERVICE, "Execute", values, timeout=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    values["input"] = {"seconds": 0}
    assert client.call(SERVICE, "Execute", values).output["slept"] == 0


def test_the_typed_service_is_reflected_and_answers(roost: Roost, typed: str) -> None:
    client = Client(roost)
    service = "roost.nodes.typed_node.Node"
    fields = client.method(service, "Execute").input_type.fields_by_name
    assert fields["x"].message_type.full_name == "roost.nodes.typed_node.FloatTensor"
    request = {"x": {"shape": [2, 1], "values": [1.5, 2]}, "n": 3, "when": "2026-11-21T10:00:00Z"}
    answer = client.call(service, "Execute", request)
    assert list(answer.y.shape) == [2, 1] and list(answer.y.values) == [4.5, 6]
    assert answer.later.ToJsonString() == "2026-11-22T10:00:00Z" and answer.kind == "float32"
    with pytest.raises(grpc.RpcError) as caught:
        client.call(service, "Execute", {"x": {"shape": [3], "values": [1]}, "n": 1, "when": "2026-11-21T10:00:00Z"})
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "input.x: the shape (3) needs 3 values, 1 were sent" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.call(service, "Execute", {"x": {"values": [1]}, "when": "2026-11-21T10:00:00Z"})
    assert "input 'n' is missing" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.call(service, "Execute", {**request, "n": -1})
    assert caught.value.code() == grpc.StatusCode.UNKNOWN and "n is -1" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.call(service, "Execute", request, metadata=[("x-folder-id", "other")])
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_services_on_one_stream_and_nodes_to_who_may_call_them(
    roost: Roost, typed: str, version: str
) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    def services(metadata: Any) -> set[str]:
        answer = next(call(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), metadata=metadata))
        return {service.name for service in answer.list_services_response.service}

    platform = services(None)
    assert {SERVICE, "grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"} <= platform
    assert not any(name.startswith("roost.nodes.") for name in platform)
    assert "roost.nodes.typed_node.Node" in services([("authorization", f"Bearer {roost.token}")])
    answers = call(
        iter(
            [
                reflection_pb2.ServerReflectionRequest(file_containing_symbol="google.rpc.Status"),
                reflection_pb2.ServerReflectionRequest(file_by_filename="no/such.proto"),
            ]
        )
    )
    found, missing = list(answers)
    assert len(found.file_descriptor_response.file_descriptor_proto) == 2
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_health_is_checked_and_watched(roost: Roost, randomizer: str) -> None:
    client = Client(roost)
    stub = health_pb2_grpc.HealthStub(client.channel)
    serving = health_pb2.HealthCheckResponse.SERVING

    def check(service: str, metadata: Any = None) -> int:
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), metadata=metadata, timeout=10).status)

    assert check("") == check(SERVICE) == serving
    assert check("roost.nodes.randomizer.Node", client.metadata) == check(randomizer, client.metadata) == serving
    for service, metadata in [("no.such.Service", client.metadata), ("roost.nodes.randomizer.Node", None)]:
        with pytest.raises(grpc.RpcError) as caught:
            check(service, metadata)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    roost.checkpoint("a = 1", "b = a", name="watched")
    node = roost.node("watched", inputs=["a:int"], outputs=["b:int"])
    watch = stub.Watch(
        health_pb2.HealthCheckRequest(service="roost.nodes.watched.Node"), metadata=client.metadata, timeout=60
    )
    assert next(watch).status == serving
    roost.finished(roost.call("POST", f"/v1/nodes/{node}:suspend").json["id"])
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    roost.finished(roost.call("POST", f"/v1/nodes/{node}:resume").json["id"])
    assert next(watch).status == serving
    watch.cancel()
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="none"), timeout=10)
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()


def test_what_is_not_there_is_not_found_and_unknown_methods_are_unimplemented(roost: Roost, randomizer: str) -> None:
    client = Client(roost)
    with pytest.raises(grpc.RpcError) as caught:
        client.call(SERVICE, "ExecuteAlias", {"folder_id": roost.folder, "alias_name": "a", "input": {}})
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    for path in ["/no.such.Service/Method", "/roost.nodes.none.Node/Execute", "/"]:
        with pytest.raises(grpc.RpcError) as caught:
            client.channel.unary_unary(path)(b"", metadata=client.metadata, timeout=10)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED, path


def test_compressed_messages_are_unpacked_and_too_large_ones_refused(roost: Roost, randomizer: str) -> None:
    client = Client(roost, options=[("grpc.max_send_message_length", -1)])
    stub = NodeServiceStub(client.channel)
    request = node_service_pb2.NodeExecutionRequest(folder_id=roost.folder, node_id=randomizer)
    request.input.update({"input_data": {"left_bound": 1, "right_bound": 2, "text": "x" * 100_000}})
    answer = stub.Execute(request, metadata=client.metadata, compression=grpc.Compression.Gzip, timeout=10)
    assert answer.output["output_data"]["sum"] == 3
    with pytest.raises(grpc.RpcError) as caught:
        stub.Execute(request, metadata=client.metadata, compression=grpc.Compression.Deflate, timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "grpc-encoding: 'deflate' is not understood" in (caught.value.details() or "")
    health = client.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert health(b"\n\0" * 2000, compression=grpc.Compression.Gzip, timeout=10) == b"\x08\1"
    request.input.update({"input_data": {"text": "x" * (17 << 20)}})
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Execute(request, metadata=client.metadata, timeout=30, compression=compression)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_ten_mebibytes_go_in(roost: Roost, randomizer: str) -> None:
    client = Client(roost)
    request = node_service_pb2.NodeExecutionRequest(folder_id=roost.folder, node_id=randomizer)
    request.input.update({"input_data": {"left_bound": 1, "right_bound": 2, "text": "x" * (10 << 20)}})
    answer = NodeServiceStub(client.channel).Execute(request, metadata=client.metadata, timeout=60)
    assert answer.output["output_data"]["sum"] == 3


def test_operations_are_read(roost: Roost, randomizer: str) -> None:
    client = Client(roost)
    listed = roost.get(f"/v1/operations?resource={randomizer}")["operations"][0]
    operation = OperationServiceStub(client.channel).Get(
        GetOperationRequest(operation_id=listed["id"]), metadata=client.metadata
    )
    assert operation.id == listed["id"] and operation.done and operation.created_at.seconds > 0
    node = struct_pb2.Struct()
    assert operation.response.Unpack(node) and node["id"] == randomizer
    with pytest.raises(grpc.RpcError) as caught:
        OperationServiceStub(client.channel).Get(GetOperationRequest(operation_id="none"), metadata=client.metadata)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    info = error_details_pb2.RequestInfo()
    assert status(caught.value).details[0].Unpack(info) and info.request_id


def execution(roost: Roost, node: str) -> node_service_pb2.NodeExecutionRequest:
    request = node_service_pb2.NodeExecutionRequest(folder_id=roost.folder, node_id=node)
    request.input.update({"input_data": {"left_bound": 1, "right_bound": 2}})
    return request


def test_the_stock_sdk_works_with_a_service_account_key(
    roost: Roost, randomizer: str, certificate: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    command(roost, "service-account", "create", "sdk-caller", "--role", "datasphere.user")
    path = tmp_path / "key.json"
    command(roost, "key", "create", "--service-account", "sdk-caller", "--out", str(path))
    key = json.loads(path.read_text())
    sdk = yandexcloud.SDK(
        endpoint=f"localhost:{tls_port(roost)}",
        root_certificates=certificate[0].read_bytes(),
        service_account_key={name: key[name] for name in ("id", "service_account_id", "private_key")},
    )
    stub = sdk.client(NodeServiceStub)
    for _ in range(3):
        assert stub.Execute(execution(roost, randomizer)).output["output_data"]["sum"] == 3


def test_the_stock_sdk_works_with_a_token(
    roost: Roost, randomizer: str, certificate: tuple[pathlib.Path, pathlib.Path]
) -> None:
    sdk = yandexcloud.SDK(
        endpoint=f"localhost:{tls_port(roost)}", root_certificates=certificate[0].read_bytes(), iam_token=roost.token
    )
    answer = sdk.client(NodeServiceStub).Execute(execution(roost, randomizer))
    assert answer.output["output_data"]["sum"] == 3
    listed = roost.get(f"/v1/operations?resource={randomizer}")["operations"][0]
    found = sdk.client(OperationServiceStub).Get(GetOperationRequest(operation_id=listed["id"]))
    assert found.done
    with pytest.raises(grpc.RpcError) as caught:
        sdk.client(NodeServiceStub).Execute(execution(roost, "none"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_many_calls_at_once_on_one_connection(roost: Roost, randomizer: str) -> None:
    client = Client(roost)
    stub = NodeServiceStub(client.channel)
    futures = [stub.Execute.future(execution(roost, randomizer), metadata=client.metadata) for _ in range(200)]
    assert all(future.result(timeout=60).output["output_data"]["sum"] == 3 for future in futures)
    text = roost.call("GET", "/metrics", token="").body.decode()
    assert "roost_gateway_in_flight_requests" in text
    wait_for("nothing is in flight", lambda: in_flight(roost) == 0)


def in_flight(roost: Roost) -> float:
    lines = roost.call("GET", "/metrics", token="").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("roost_gateway_in_flight_requests{"))


def test_the_reflection_stub_of_grpcio_reads_everything(roost: Roost) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{roost.port}")
    assert reflection_pb2_grpc.ServerReflectionStub(channel)
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = descriptor_pool.DescriptorPool(database)
    for name in database.get_services():
        assert pool.FindServiceByName(name).methods


def test_the_documents_of_a_node_are_served_and_printed(roost: Roost, typed: str, tmp_path: pathlib.Path) -> None:
    document = roost.get(f"/nodes/{typed}/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    assert document["servers"] == [{"url": roost.url}]
    assert json.loads(roost.cli("node", "api", "typed-node").stdout) == document
    shape = document["components"]["schemas"]["Output"]["properties"]["y"]
    assert shape["type"] == "array" and shape["items"]["type"] == "array"
    proto = roost.cli("node", "api", "typed-node", "--format", "proto").stdout
    assert "FloatTensor x = 1;" in proto and roost.call("GET", f"/nodes/{typed}/node.proto").body.decode() == proto
    (tmp_path / "node.proto").write_text(proto)
    out = ["protoc", f"-I{tmp_path}", f"-I{pathlib.Path(grpc_tools.__file__).parent}/_proto"]
    assert protoc.main([*out, f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", "node.proto"]) == 0
    assert roost.call("GET", f"/nodes/{typed}/openapi.json", token="").status == 401
    assert roost.call("GET", "/nodes/none/node.proto").status == 404


def test_the_rest_twins_answer(roost: Roost, randomizer: str) -> None:
    listed = roost.call("GET", "/endpoints", token="").json["endpoints"]
    assert {"id": "iam", "address": f"127.0.0.1:{roost.port}"} in listed
    assert roost.call("GET", "/endpoints/datasphere", token="").json["address"].endswith(str(roost.port))
    assert roost.call("GET", "/endpoints/none", token="").json["code"] == 5
    operation = roost.get(f"/v1/operations?resource={randomizer}")["operations"][0]
    assert roost.get(f"/operations/{operation['id']}")["done"]
    assert roost.call("GET", f"/operations/{operation['id']}", token="").json["code"] == 16
    answer = roost.call("POST", "/datasphere/v1/aliases/a:execute", {"folder_id": roost.folder, "input": {}})
    assert answer.status == 404 and answer.json["code"] == 5
