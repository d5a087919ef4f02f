"""The API of model nodes beside the Open Inference Protocol: generated documents, typed services, metrics, releases, aliases."""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import grpc_tools
import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import Roost, wait_for
from grpc_tools import protoc
from openapi_spec_validator import OpenAPIV31SpecValidator
from test_grpc import SERVICE, Client, status
from test_model_nodes import deploy, execute, headers, infer, make, processes
from yandex.cloud.datasphere.v1.node_execution_error_details_pb2 import NodeExecutionErrorDetails

SCALE = "def predict(x):\n    if (x < 0).any(): raise ValueError('negative')\n    return x * {factor}\n"
ONE = {"x": [[1.0, 2.0]]}


def upload(roost: Roost, folder: pathlib.Path, name: str, factor: int, *signature: str) -> None:
    path = folder / f"{name}.py"
    path.write_text(SCALE.format(factor=factor))
    given = signature or ("--input", "x:FP32[-1,2]", "--output", "y:FP32[-1,2]")
    roost.cli("model", "upload", path, "--name", name, *given)


@pytest.fixture(scope="module")
def node(roost: Roost, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A node of one model, called `scale`."""
    folder = tmp_path_factory.mktemp("scale")
    for factor in (2, 3):
        upload(roost, folder, f"scale-{factor}", factor)
    return deploy(roost, "my-scale", "scale=scale-2")


@pytest.fixture(scope="module")
def pair(roost: Roost, node: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A node of two models."""
    roost.cli("model", "upload", make.make_onnx(tmp_path_factory.mktemp("onnx")), "--name", "net")
    return deploy(roost, "pair", "scale-2", "net")


def test_execute_over_grpc_answers_a_struct(roost: Roost, node: str, pair: str) -> None:
    client = Client(roost)
    values = {"folder_id": roost.folder, "node_id": node, "input": ONE}
    assert client.call(SERVICE, "Execute", values).output["y"][0][1] == 4
    values = {"folder_id": roost.folder, "node_id": pair, "input": {"scale-2": ONE}}
    assert client.call(SERVICE, "Execute", values).output["scale-2"]["y"][0][0] == 2
    with pytest.raises(grpc.RpcError) as caught:
        client.call(SERVICE, "Execute", {**values, "input": {"scale-2": {"x": [[1]]}}})
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "input 'x'" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.call(SERVICE, "Execute", {**values, "input": {"scale-2": {"x": [[-1, 0]]}}})
    assert caught.value.code() == grpc.StatusCode.UNKNOWN
    details = NodeExecutionErrorDetails()
    status(caught.value).details[0].Unpack(details)
    assert (details.error_name, details.error_message) == ("ValueError", "negative")


def test_models_have_typed_services_that_reflection_shows(roost: Roost, node: str, pair: str) -> None:
    client = Client(roost)
    answer = client.call("roost.nodes.my_scale.Node", "Execute", {"x": {"shape": [1, 2], "values": [1, 2.5]}})
    assert (list(answer.y.shape), list(answer.y.values)) == ([1, 2], [2, 5])
    answer = client.call("roost.nodes.pair.Net", "Execute", {"x": {"shape": [1, 4], "values": [1, 1, 1, 1]}})
    assert list(answer.y.values) == [1, 2, 3, 4]
    with pytest.raises(grpc.RpcError) as caught:
        client.call("roost.nodes.pair.Scale2", "Execute", {"x": {"shape": [2], "values": [1, 2]}})
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "takes [-1,2]" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        client.call("roost.nodes.my_scale.Node", "Execute", {})
    assert "input 'x': missing" in caught.value.details()


def generated(roost: Roost, folder: pathlib.Path, package: str, document: Any, given: Any) -> Any:
    """What a client gets that `openapi-python-client` made of a node's document."""
    (folder / "openapi.json").write_text(json.dumps(document))
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none",
         "--output-path", package, "--fail-on-warning"],
        capture_output=True, text=True, timeout=120, cwd=folder,
        env={**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        client = importlib.import_module(package)
        (path,) = [p for p in (folder / package / "api").glob("*/*.py") if p.stem != "__init__"]
        call = importlib.import_module(f"{package}.api.{path.parent.name}.{path.stem}")
        request = importlib.import_module(f"{package}.models").ExecuteRequest
        body = request.from_dict({"folder_id": roost.folder, "input": given})
        caller = client.AuthenticatedClient(base_url=roost.url, token=roost.token)
        answer = call.sync_detailed(client=caller, body=body)
        assert answer.status_code == 200, answer
        return answer.parsed.to_dict()["output"]
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize(("name", "given"), [("my-scale", ONE), ("pair", {"scale-2": ONE})])
def test_the_documents_of_a_model_node_are_valid(
    roost: Roost, node: str, pair: str, tmp_path: pathlib.Path, name: str, given: Any
) -> None:
    document = json.loads(roost.cli("node", "api", name).stdout)
    OpenAPIV31SpecValidator(document).validate()
    proto = roost.cli("node", "api", name, "--proto").stdout
    (tmp_path / "node.proto").write_text(proto)
    out = ["protoc", f"-I{tmp_path}", f"-I{pathlib.Path(grpc_tools.__file__).parent}/_proto"]
    assert protoc.main([*out, f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", "node.proto"]) == 0
    example = roost.cli("node", "api", name, "--example").stdout
    assert json.loads(roost.cli("node", "call", name, "--input", example).stdout)
    assert ":execute" in roost.cli("node", "describe", name).stdout
    assert "4.0" in json.dumps(generated(roost, tmp_path, f"client_{len(name)}", document, given))


def test_what_triton_measures_is_told_with_node_and_instance(roost: Roost, node: str) -> None:
    instance = roost.instances(node)[0]["id"]
    infer(roost, node, "scale", tritonclient.http, {"x": numpy.ones((3, 2), "float32")}, "y")

    def told() -> Any:
        text = roost.call("GET", "/metrics/nodes?node=my-scale").body.decode()
        lines = [line for line in text.splitlines() if line.startswith("nv_inference_request_success{")]
        found = [line for line in lines if 'model="scale"' in line]
        return found if found and float(found[0].split()[-1]) > 0 else None

    line = wait_for("Triton's metrics", told, 60)[0]
    assert f'node_id="{node}"' in line and f'instance_id="{instance}"' in line
    (served,) = roost.get(f"/v1/nodes/{node}")["status"]["models"]
    assert served["name"] == "scale" and served["requests"] > 0 and served["computeMilliseconds"] > 0
    assert "scale: " in roost.cli("node", "describe", "my-scale").stdout
    facts = {c["type"]: c for c in roost.get(f"/v1/nodes/{node}")["status"]["conditions"]}
    assert facts["Telemetry"]["reason"] == "Pulled", facts


def test_instances_follow_the_time_in_the_queue(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import time\ndef predict(x):\n    time.sleep(0.2)\n    return x\n")
    roost.cli("model", "upload", path, "--name", "slow", "--input", "x:FP32[-1,1]", "--output", "y:FP32[-1,1]")
    roost.cli(
        "node", "create", "slow", "--model", "slow", "--max-batch", "0", "--min", "1", "--max", "2",
        "--scale-gauge", "roost_queue_milliseconds=50", "--wait",
    )  # fmt: skip
    node = next(n["id"] for n in roost.get("/v1/nodes")["nodes"] if n["name"] == "slow")
    with pytest.raises(grpc.RpcError) as caught:
        values = {"folder_id": roost.folder, "node_id": node, "input": {"x": [[1]]}}
        Client(roost).call(SERVICE, "Execute", values, timeout=0.1)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            execute(roost, f"/datasphere/v1/nodes/{node}", {"x": [[1]]})

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_for("a second instance", lambda: len(roost.instances(node)) == 2, 120)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert "roost_queue_milliseconds" in roost.call("GET", "/metrics/nodes?node=slow").body.decode()
    roost.call("DELETE", f"/v1/nodes/{node}")


# Other models by an update.


@contextlib.contextmanager
def load(
    roost: Roost, node: str, alias: str | None = None, model: str = "scale", version: str = "", factors: tuple[float, ...] = (2, 3)
) -> Iterator[list[Any]]:
    """Stock clients over HTTP and gRPC and the JSON view, until the block ends; what went wrong, or an odd answer."""
    wrong: list[Any] = []
    seen: set[float] = set()
    stop = threading.Event()
    sent = headers(roost, node)
    if alias:
        sent = {"authorization": f"Bearer {roost.token}", "x-node-alias": alias}
    path = f"/datasphere/v1/aliases/{alias}" if alias else f"/datasphere/v1/nodes/{node}"

    def client(package: Any) -> None:
        caller = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
        x = package.InferInput("x", [1, 2], "FP32")
        x.set_data_from_numpy(numpy.ones((1, 2), "float32"))
        while not stop.is_set():
            try:
                seen.add(float(caller.infer(model, [x], model_version=version, headers=dict(sent)).as_numpy("y")[0][0]))
            except Exception as error:
                wrong.append((package.__name__, str(error)))
        caller.close()

    def view() -> None:
        name = f"{model}:{version}"
        while not stop.is_set():
            answer = execute(roost, path, {name: ONE} if version else ONE)
            if answer.status != 200:
                wrong.append(("execute", answer.json))
            else:
                output = answer.json["output"]
                seen.add((output[name] if version else output)["y"][0][0])

    targets = [lambda: client(tritonclient.http), lambda: client(tritonclient.grpc), view]
    threads = [threading.Thread(target=target) for target in targets * 2]
    for thread in threads:
        thread.start()
    try:
        wait_for("answers", lambda: seen or wrong)
        yield wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen <= set(factors), seen


def test_another_model_takes_the_place_of_the_former_one_without_a_failed_request(roost: Roost, node: str) -> None:
    with load(roost, node) as wrong:
        roost.cli("node", "update", "my-scale", "--model", "scale=scale-3", "--wait")
        answer = execute(roost, f"/datasphere/v1/nodes/{node}", ONE)
        assert answer.json["output"] == {"y": [[3.0, 6.0]]}
        roost.cli("node", "rollback", "my-scale", "--wait")
        answer = execute(roost, f"/datasphere/v1/nodes/{node}", ONE)
        assert answer.json["output"] == {"y": [[2.0, 4.0]]}
    assert wrong == []
    history = roost.cli("node", "history", "my-scale").stdout
    assert "scale-3" in history or "model" in history, history


def test_settings_change_alone_and_a_bad_model_leaves_the_former_serving(
    roost: Roost, node: str, tmp_path: pathlib.Path
) -> None:
    roost.cli("node", "update", "my-scale", "--max-batch", "8", "--wait")
    spec = roost.get(f"/v1/nodes/{node}")["spec"]["model"]
    assert spec["maxBatchSize"] == 8 and [m["name"] for m in spec["models"]] == ["scale"]
    path = tmp_path / "m.py"
    path.write_text("import nosuchpackage\ndef predict(x): return x\n")
    roost.cli("model", "upload", path, "--name", "bad", "--input", "x:FP32[-1,2]", "--output", "y:FP32[-1,2]")
    with load(roost, node) as wrong:
        failed = roost.cli("node", "update", "my-scale", "--model", "scale=bad", "--wait", check=False)
    assert wrong == []
    assert failed.returncode != 0 and "No module named 'nosuchpackage'" in failed.stderr, failed.stderr
    roost.cli("node", "rollback", "my-scale", "--wait", check=False)
    answer = roost.call("PATCH", "/v1/nodes/my-scale?update_mask=model", {"model": {"names": ["none"]}})
    assert answer.status == 404 and "there is no model 'none'" in answer.json["detail"]
    answer = roost.call("PATCH", "/v1/nodes/my-scale?update_mask=model", {"model": {"names": ["a b=scale-2"]}})
    assert answer.status == 400 and "'a b' can't be the name" in answer.json["detail"]


# Aliases.


def test_an_alias_moves_to_another_version_without_a_failed_request(roost: Roost, node: str) -> None:
    other = deploy(roost, "my-scale-3", "scale=scale-3")
    roost.cli("alias", "create", "scaled", "--share", "my-scale=100")
    with load(roost, node, alias="scaled") as wrong:
        for weight in (50, 100):
            shares = ["--share", f"my-scale-3={weight}", "--share", f"my-scale={100 - weight}"]
            roost.cli("alias", "update", "scaled", *shares)
        wait_for("the other model", lambda: execute(roost, "/datasphere/v1/aliases/scaled", ONE).json["output"]["y"] == [[3.0, 6.0]])
    assert wrong == []
    client = Client(roost)
    answer = client.call(
        SERVICE, "ExecuteAlias", {"folder_id": roost.folder, "alias_name": "scaled", "input": ONE}
    )
    assert answer.output["y"][0][1] == 6
    # The service of one node of the alias, while another answers.
    metadata = [("x-node-alias", "scaled")]
    values = {"x": {"shape": [1, 2], "values": [1, 2]}}
    for service in ("my_scale_3", "my_scale"):
        answer = client.call(f"roost.nodes.{service}.Node", "Execute", values, metadata=metadata)
        assert list(answer.y.values) == [3, 6]
    roost.cli("alias", "delete", "scaled", "--yes")
    roost.call("DELETE", f"/v1/nodes/{other}")


def test_an_alias_refuses_models_that_its_callers_would_notice(roost: Roost, node: str, tmp_path: pathlib.Path) -> None:
    upload(roost, tmp_path, "wide", 2, "--input", "x:FP32[-1,3]", "--output", "y:FP32[-1,3]")
    wide = deploy(roost, "wide", "scale=wide")
    roost.cli("alias", "create", "strict", "--share", "my-scale=100")
    refused = roost.cli("alias", "update", "strict", "--share", "my-scale=50", "--share", "wide=50", check=False)
    assert refused.returncode != 0
    assert "models.scale.inputs.x: FP32[-1,2] became FP32[-1,3]" in refused.stderr, refused.stderr
    roost.cli("alias", "update", "strict", "--share", "my-scale=50", "--share", "wide=50", "--allow-breaking")
    roost.cli("alias", "delete", "strict", "--yes")
    roost.call("DELETE", f"/v1/nodes/{wide}")


# Models that die.


def test_requests_wait_while_a_dead_model_is_loaded_anew(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import time\ndef load(): time.sleep(3)\ndef predict(x): return x\n")
    roost.cli("model", "upload", path, "--name", "heavy", "--input", "x:FP32[-1,1]", "--output", "y:FP32[-1,1]")
    node = deploy(roost, "heavy", "heavy")
    pid = roost.instances(node)[0]["pid"]
    os.kill(processes("triton_python_b", pid)[0], signal.SIGKILL)

    def reloading() -> bool:
        status = roost.get(f"/v1/nodes/{node}")["status"]
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        return (status["status"], ready["reason"]) == ("UNHEALTHY", "Reloading")

    wait_for("the node says so", reloading, 10)
    assert roost.instances(node)[0]["status"] == "UNHEALTHY"
    x = {"x": numpy.ones((1, 1), "float32")}
    assert infer(roost, node, "heavy", tritonclient.http, x, "y").tolist() == [[1.0]]
    assert infer(roost, node, "heavy", tritonclient.grpc, x, "y").tolist() == [[1.0]]
    status = roost.get(f"/v1/nodes/{node}")["status"]
    assert (status["status"], status["reloads"], status["restarts"]) == ("HEALTHY", 1, 0)
    assert "died: the model is loaded anew" in status["lastError"]["message"]
    assert roost.instances(node)[0]["pid"] == pid
    metrics = roost.call("GET", "/metrics").body.decode()
    assert f'roost_model_reloads_total{{node_id="{node}",node="heavy"}} 1' in metrics
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_one_of_several_processes_of_a_model_is_not_missed(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import os, time, numpy\ndef predict(x):\n    time.sleep(0.05)\n    return x * 0 + os.getpid() % 9973\n")
    roost.cli("model", "upload", path, "--name", "many", "--input", "x:FP32[-1,1]", "--output", "y:FP32[-1,1]")
    roost.cli("node", "create", "many", "--model", "many", "--model-processes", "2", "--max-batch", "0", "--wait")
    node = next(n["id"] for n in roost.get("/v1/nodes")["nodes"] if n["name"] == "many")
    stubs = processes("triton_python_b", roost.instances(node)[0]["pid"])
    assert len(stubs) == 2

    def ask(_: int) -> Any:
        return execute(roost, f"/datasphere/v1/nodes/{node}", {"x": [[1]]}).json["output"]["y"][0][0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(40)))) == 2
    os.kill(stubs[0], signal.SIGKILL)
    wait_for("it is seen", lambda: roost.get(f"/v1/nodes/{node}")["status"]["reloads"] == 1, 20)
    roost.healthy(node, 1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(40)))) == 2
    assert roost.get(f"/v1/nodes/{node}")["status"]["reloads"] == 1
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_the_other_instance_serves_while_a_dead_model_is_loaded_anew(roost: Roost, node: str) -> None:
    two = deploy(roost, "two", "scale=scale-2", instances={"count": 2})
    stop = threading.Event()
    answers: list[Any] = []

    def ask() -> None:
        while not stop.is_set():
            answers.append(execute(roost, f"/datasphere/v1/nodes/{two}", ONE))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for place, instance in enumerate(roost.instances(two)):
            wait_for("load", lambda seen=len(answers): len(answers) > seen + 100)
            os.kill(processes("triton_python_b", instance["pid"])[0], signal.SIGKILL)
            wait_for("it is seen", lambda count=place + 1: roost.get(f"/v1/nodes/{two}")["status"]["reloads"] == count, 20)
            roost.healthy(two, 2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    bad = [answer for answer in answers if answer.status != 200]
    assert bad == [], [b.json for b in bad[:3]]
    assert roost.get(f"/v1/nodes/{two}")["status"]["reloads"] == 2
    roost.call("DELETE", f"/v1/nodes/{two}")
