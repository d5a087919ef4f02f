"""Cell nodes as models of the Open Inference Protocol, called by the stock clients of another server that speaks it."""

from __future__ import annotations

import gzip
import json
import pathlib
import shutil
import struct
import tempfile
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from conftest import Roost
from test_grpc import Client
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def roost() -> Iterator[Roost]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-oip-"))
    server = Roost(folder / "data").start()
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def linear(roost: Roost) -> str:
    """One array of float32 in, one out."""
    roost.checkpoint("import numpy as np\nx = np.ones((1, 3), 'float32')", "y = x * np.float32(2)", name="linear")
    return roost.node("linear", inputs=["x:numpy.ndarray"], outputs=["y:numpy.ndarray"])


@pytest.fixture(scope="module")
def mixed(roost: Roost) -> str:
    """Every other kind of variable that has a tensor."""
    roost.checkpoint(
        "n = 1\nr = 0.5\nflag = True\nword = 'a'\nblob = b'a'\nwords = ['a', 'b']\ncounts = [1, 2]",
        "n2 = n + 1\nr2 = r / 2\nnot_flag = not flag\nword2 = word.upper()\nblob2 = blob[::-1]\n"
        "words2 = words[::-1]\ntotal = [c * 2 for c in counts]\n"
        "if word == 'raise': raise ValueError('the word is raise')",
        name="mixed",
    )
    return roost.node(
        "mixed",
        inputs=["n:int", "r:float", "flag:bool", "word:str", "blob:bytes", "words:list", "counts:list"],
        outputs=["n2:int", "r2:float", "not_flag:bool", "word2:str", "blob2:bytes", "words2:list", "total:list"],
    )


def http(roost: Roost, path: str = "") -> triton_http.InferenceServerClient:
    return triton_http.InferenceServerClient(f"127.0.0.1:{roost.port}{path}")


def over_grpc(roost: Roost) -> triton_grpc.InferenceServerClient:
    return triton_grpc.InferenceServerClient(f"127.0.0.1:{roost.port}")


def headers(roost: Roost, node: str | None = None) -> dict[str, str]:
    return {"authorization": f"Bearer {roost.token}", **({"x-node-id": node} if node else {})}


def tensor(module: Any, name: str, value: Any, datatype: str, **more: Any) -> Any:
    array = np.array(value)
    found = module.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, **more)
    return found


def mixed_inputs(module: Any, word: str = "héllo", **more: Any) -> list[Any]:
    return [
        tensor(module, "n", np.array([41], "int64"), "INT64", **more),
        tensor(module, "r", np.array([3.0]), "FP64", **more),
        tensor(module, "flag", np.array([True]), "BOOL", **more),
        tensor(module, "word", np.array([word.encode()], object), "BYTES", **more),
        tensor(module, "blob", np.array([b"YWJj" if more else b"abc"], object), "BYTES", **more),
        tensor(module, "words", np.array([b"x", b"yy", b""], object), "BYTES", **more),
        tensor(module, "counts", np.array([5, 6, 7], "int64"), "INT64", **more),
    ]


def check_mixed(result: Any, blob: bytes = b"cba") -> None:
    def items(name: str) -> list[Any]:
        found = result.as_numpy(name).tolist()
        return [item.encode() if isinstance(item, str) else item for item in found]

    assert items("n2") == [42] and items("r2") == [1.5] and items("not_flag") == [False]
    assert items("word2") == ["HÉLLO".encode()] and items("blob2") == [blob]
    assert items("words2") == [b"", b"yy", b"x"] and items("total") == [10, 12, 14]


def test_http_says_what_models_there_are(roost: Roost, linear: str, mixed: str) -> None:
    client, token = http(roost), headers(roost)
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for name in ("linear", linear):
        assert client.is_model_ready(name, headers=token) and client.is_model_ready(name, "1", headers=token)
        assert client.get_model_metadata(name, "1", headers=token) == {
            "name": "linear", "versions": ["1"], "platform": "roost-cell",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        }
    inputs = {each["name"]: each for each in client.get_model_metadata("mixed", headers=token)["inputs"]}
    assert inputs["words"] == {"name": "words", "datatype": "BYTES", "shape": [-1]}
    assert inputs["counts"] == {"name": "counts", "datatype": "INT64", "shape": [-1]}
    assert not client.is_model_ready("linear")  # no token
    assert not client.is_model_ready("none", headers=token) and not client.is_model_ready("linear", "2", headers=token)


@pytest.mark.parametrize("binary", [True, False])
def test_http_infers(roost: Roost, linear: str, mixed: str, binary: bool) -> None:
    client, token = http(roost), headers(roost)
    x = np.arange(6, dtype="float32").reshape(2, 3)
    wanted = [triton_http.InferRequestedOutput("y", binary_data=binary)]
    given = [tensor(triton_http, "x", x, "FP32", binary_data=binary)]
    result = client.infer("linear", given, "1", wanted, request_id="r1", headers=token)
    assert result.as_numpy("y").dtype == np.float32 and (result.as_numpy("y") == x * 2).all()
    answer = result.get_response()
    assert answer["id"] == "r1" and answer["model_name"] == "linear" and answer["model_version"] == "1"
    assert ("parameters" in answer["outputs"][0]) == binary
    if binary:
        check_mixed(client.infer("mixed", mixed_inputs(triton_http), headers=token))
    else:
        names = ["n2", "r2", "not_flag", "word2", "blob2", "words2", "total"]
        outputs = [triton_http.InferRequestedOutput(name, binary_data=False) for name in names]
        inputs = mixed_inputs(triton_http, binary_data=False)
        check_mixed(client.infer("mixed", inputs, outputs=outputs, headers=token), b"Y2Jh")


def test_a_node_is_named_by_header_host_or_path(roost: Roost, linear: str, mixed: str) -> None:
    given = [tensor(triton_http, "x", np.ones((1, 3), "float32"), "FP32")]
    by_path = http(roost, f"/nodes/{linear}/proxy")
    assert by_path.is_server_ready(headers=headers(roost))
    assert by_path.infer("linear", given, headers=headers(roost)).as_numpy("y").tolist() == [[2, 2, 2]]
    token = headers(roost, linear)
    assert http(roost).infer("linear", given, headers=token).as_numpy("y").tolist() == [[2, 2, 2]]
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'mixed' is not found"):
        http(roost).infer("mixed", given, headers=token)
    host = {"host": f"{linear}.nodes.example.org"}
    assert roost.call("GET", "/v2/models/linear", headers=host).json["name"] == "linear"
    assert roost.call("GET", "/v2/models/mixed", headers=host).status == 404
    assert roost.call("GET", "/v2/health/ready", headers=host, token="").status == 401


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"inputs": [{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}]}, "unexpected inference input 'z'"),
    ({"inputs": [{"name": "x", "datatype": "INT64", "shape": [1, 3], "data": [1, 2, 3]}]},
     "inference input 'x' data-type is 'INT64', but model 'linear' expects 'FP32'"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]},
     "unexpected shape for input 'x' for model 'linear'. Expected [-1,3], got [1,4]"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3], "data": []}]}, "got [-1,3]"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2]}]}, "needs 3 items, got 2"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, "3"]}]}, "not an array of FP32"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3]}]}, "has no data"),
    ({"inputs": []}, "missing: x"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}], "outputs": [{"name": "q"}]},
     "unexpected inference output 'q'"),
    ({"imputs": []}, "unknown member 'imputs'"),
    ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 99}}]},
     "binary_data_size"),
]


@pytest.mark.parametrize(("body", "message"), WRONG)
def test_what_does_not_fit_is_refused_in_the_protocols_form(
    roost: Roost, linear: str, body: dict[str, Any], message: str
) -> None:
    answer = roost.call("POST", "/v2/models/linear/infer", body)
    assert answer.status == 400 and list(answer.json) == ["error"] and message in answer.json["error"]


def test_binary_tensors_of_wrong_sizes_are_refused(roost: Roost, linear: str) -> None:
    def infer(size: int, data: bytes, count: int | None = None) -> Any:
        given = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [given]}).encode()
        extra = {"inference-header-content-length": str(len(head) if count is None else count)}
        return roost.call("POST", "/v2/models/linear/infer", raw=head + data, headers=extra)

    assert infer(12, struct.pack("<3f", 1, 2, 3)).json["outputs"][0]["data"] == [2, 4, 6]
    assert "needs 12 bytes, got 8" in infer(8, bytes(8)).json["error"]
    assert "4 bytes are left" in infer(12, bytes(16)).json["error"]
    assert "binary_data_size" in infer(12, bytes(8)).json["error"]
    assert "Inference-Header-Content-Length" in infer(12, bytes(12), 9999).json["error"]
    assert infer(12, bytes(12), 0).status == 400


def test_a_cell_that_raises_and_a_node_that_is_no_model_say_so(roost: Roost, mixed: str) -> None:
    with pytest.raises(InferenceServerException, match="the word is raise"):
        http(roost).infer("mixed", mixed_inputs(triton_http, "raise"), headers=headers(roost))
    roost.checkpoint("d = dict(a=1)", "e = d", name="dicts")
    roost.node("dicts", inputs=["d:dict"], outputs=["e:dict"])
    answer = roost.call("GET", "/v2/models/dicts")
    assert answer.status == 400 and "d (dict) has no form in the Open Inference Protocol" in answer.json["error"]
    with pytest.raises(InferenceServerException, match=r"d \(dict\) has no form"):
        over_grpc(roost).get_model_metadata("dicts", headers=headers(roost))
    assert roost.call("POST", "/v2/models/dicts").status == 405
    assert roost.call("GET", "/v2/models/dicts/stats").status == 404


def test_grpc_infers(roost: Roost, linear: str, mixed: str) -> None:
    client, token = over_grpc(roost), headers(roost)
    assert client.is_server_live(headers=token) and client.is_server_ready(headers=token)
    assert client.get_server_metadata(headers=token).extensions == ["binary_tensor_data"]
    assert client.is_model_ready("linear", "1", headers=token)
    metadata = client.get_model_metadata("linear", headers=token)
    assert metadata.inputs[0].datatype == "FP32" and list(metadata.inputs[0].shape) == [-1, 3]
    x = np.arange(6, dtype="float32").reshape(2, 3)
    result = client.infer("linear", [tensor(triton_grpc, "x", x, "FP32")], request_id="r2", headers=token)
    assert (result.as_numpy("y") == x * 2).all() and result.get_response().id == "r2"
    check_mixed(client.infer("mixed", mixed_inputs(triton_grpc), headers=token))
    one = [triton_grpc.InferRequestedOutput("total")]
    result = client.infer("mixed", mixed_inputs(triton_grpc), outputs=one, headers=headers(roost, mixed))
    assert [output.name for output in result.get_response().outputs] == ["total"]
    bad = triton_grpc.InferInput("x", [1, 4], "FP32")
    bad.set_data_from_numpy(np.ones((1, 4), "float32"))
    with pytest.raises(InferenceServerException, match=r"Expected \[-1,3\], got \[1,4\]") as caught:
        client.infer("linear", [bad], headers=token)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="unknown model") as caught:
        client.infer("none", [bad], headers=token)
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_typed_contents_are_answered_with_typed_contents(roost: Roost, linear: str, mixed: str) -> None:
    """Without stubs: by what reflection says of the service."""
    client = Client(roost)

    def infer(name: str, inputs: list[dict[str, Any]]) -> Any:
        return client.call("inference.GRPCInferenceService", "ModelInfer", {"modelName": name, "inputs": inputs})

    x = {"name": "x", "datatype": "FP32", "shape": [1, 3], "contents": {"fp32Contents": [1, 2, 3]}}
    answer = infer("linear", [x])
    assert list(answer.outputs[0].contents.fp32_contents) == [2, 4, 6] and not answer.raw_output_contents
    answer = infer("mixed", [
        {"name": "n", "datatype": "INT64", "shape": [1], "contents": {"int64Contents": ["-3"]}},
        {"name": "r", "datatype": "FP64", "shape": [1], "contents": {"fp64Contents": [8]}},
        {"name": "flag", "datatype": "BOOL", "shape": [1], "contents": {"boolContents": [False]}},
        {"name": "word", "datatype": "BYTES", "shape": [1], "contents": {"bytesContents": ["YQ=="]}},
        {"name": "blob", "datatype": "BYTES", "shape": [1], "contents": {"bytesContents": ["AP8="]}},
        {"name": "words", "datatype": "BYTES", "shape": [1], "contents": {"bytesContents": ["YQ=="]}},
        {"name": "counts", "datatype": "INT64", "shape": [2], "contents": {"int64Contents": [1, 2]}},
    ])
    found = {output.name: output.contents for output in answer.outputs}
    assert list(found["n2"].int64_contents) == [-2] and list(found["not_flag"].bool_contents) == [True]
    assert list(found["blob2"].bytes_contents) == [b"\xff\x00"] and list(found["total"].int64_contents) == [2, 4]
    with pytest.raises(grpc.RpcError) as caught:
        infer("linear", [{**x, "contents": {"fp64Contents": [1, 2, 3]}}])
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "not those of FP32" in caught.value.details()


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_the_http_client_may_compress(roost: Roost, linear: str, algorithm: str) -> None:
    x = np.arange(3000, dtype="float32").reshape(1000, 3)
    for binary in (True, False):
        result = http(roost).infer(
            "linear", [tensor(triton_http, "x", x, "FP32", binary_data=binary)], headers=headers(roost),
            request_compression_algorithm=algorithm, response_compression_algorithm=algorithm,
        )  # fmt: skip
        assert (result.as_numpy("y") == x * 2).all()


def test_compressed_bodies_have_the_limit_of_plain_ones(roost: Roost, linear: str) -> None:
    path = "/v2/models/linear/infer"
    bomb = gzip.compress(bytes(64 << 20))
    answer = roost.call("POST", path, raw=bomb, headers={"content-encoding": "gzip"})
    assert answer.status == 413 and "16777216 bytes when it is unpacked" in answer.json["error"], answer
    answer = roost.call("POST", path, raw=b"nonsense", headers={"content-encoding": "deflate"})
    assert answer.status == 400 and "not a whole stream of deflate" in answer.json["error"], answer
    answer = roost.call("POST", path, raw=b"{}", headers={"content-encoding": "br"})
    assert answer.status == 415 and "send gzip, deflate or no compression" in answer.json["error"], answer
