"""Several versions of one model in one instance, called by stock clients, by curl, and as JSON."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import Roost, wait_for
from openapi_spec_validator import OpenAPIV31SpecValidator
from test_grpc import SERVICE, Client
from test_model_api import ONE, generated, load, upload
from test_model_nodes import deploy, execute, headers, processes
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def node(roost: Roost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node of two versions of `scale`: times two, and times three."""
    folder = tmp_path_factory.mktemp("versions")
    for factor in (2, 3, 5):
        upload(roost, folder, f"scale-{factor}", factor)
    upload(roost, folder, "scale-wide", 2, "--input", "x:FP32[-1,3]", "--output", "y:FP32[-1,2]")
    roost.cli("node", "create", "scales", "--model", "scale:1=scale-2", "--model", "scale:2=scale-3", "--wait")
    node = next(n["id"] for n in roost.get("/v1/nodes")["nodes"] if n["name"] == "scales")
    yield str(node)
    roost.call("DELETE", f"/v1/nodes/{node}")


def answered(roost: Roost, node: str, package: Any, model: str, version: str) -> tuple[float, str]:
    """What a stock client gets for a row of ones, and the version that it is told of."""
    client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
    try:
        x = package.InferInput("x", [1, 2], "FP32")
        x.set_data_from_numpy(numpy.ones((1, 2), "float32"))
        answer = client.infer(model, [x], model_version=version, headers=headers(roost, node))
        told = answer.get_response()
        said = told["model_version"] if isinstance(told, dict) else told.model_version
        return float(answer.as_numpy("y")[0][0]), str(said)
    finally:
        client.close()


PACKAGES = pytest.mark.parametrize("package", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])


@PACKAGES
def test_stock_clients_call_each_version_and_the_highest_when_they_name_none(roost: Roost, node: str, package: Any) -> None:
    assert answered(roost, node, package, "scale", "1") == (2, "1")
    assert answered(roost, node, package, "scale", "2") == (3, "2")
    assert answered(roost, node, package, "scale", "") == (3, "2")
    ids = [roost.get(f"/v1/models/scale-{factor}")["id"] for factor in (2, 3)]
    assert answered(roost, node, package, ids[0], "") == (2, "1")
    assert answered(roost, node, package, ids[0], "1") == (2, "1")
    assert answered(roost, node, package, ids[1], "") == (3, "2")
    assert answered(roost, node, package, ids[1], "2") == (3, "2")
    for model, version in (("scale", "7"), (ids[0], "2")):
        with pytest.raises(InferenceServerException, match=f"'{model}' version {version} is not found"):
            answered(roost, node, package, model, version)


@PACKAGES
def test_stock_clients_see_each_version_ready_and_its_signature(roost: Roost, node: str, package: Any) -> None:
    client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
    sent = headers(roost, node)
    assert [client.is_model_ready("scale", v, headers=sent) for v in ("", "1", "2", "9")] == [True, True, True, False]
    told = client.get_model_metadata("scale", headers=sent)
    assert list(told["versions"] if isinstance(told, dict) else told.versions) == ["1", "2"]
    for version in ("1", "2"):
        told = client.get_model_metadata("scale", version, headers=sent)
        assert (told["name"] if isinstance(told, dict) else told.name) == "scale"
    client.close()


def test_a_model_whose_input_and_output_have_one_name_answers_under_its_ids(roost: Roost, tmp_path: pathlib.Path) -> None:
    for factor in (7, 8):
        path = tmp_path / f"{factor}.py"
        path.write_text(f"def predict(x): return x * {factor}\n")
        roost.cli("model", "upload", path, "--name", f"same-{factor}", "--input", "x:FP32[-1,2]", "--output", "x:FP32[-1,2]")
    other = deploy(roost, "same", "same:1=same-7", "same:4=same-8")
    ids = [roost.get(f"/v1/models/same-{factor}")["id"] for factor in (7, 8)]
    calls = [("same/versions/1", 7), ("same", 8), (ids[0], 7), (ids[1], 8), (f"{ids[1]}/versions/4", 8)]
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}

    def answers() -> list[Any]:
        answers = [roost.call("POST", f"/nodes/{other}/proxy/v2/models/{path}/infer", body) for path, _ in calls]
        return [answer.json["outputs"][0]["data"][0] if answer.status == 200 else answer.json for answer in answers]

    assert answers() == [factor for _, factor in calls]
    (instance,) = roost.instances(other)
    stubs = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in processes("triton_python_b", instance["pid"])}
    os.kill(next(pid for pid, text in stubs.items() if f"/{ids[0]}/1/model.py" in text), signal.SIGKILL)
    wait_for("it is counted", lambda: roost.get(f"/v1/nodes/{other}")["status"].get("reloads", 0) > 0)
    wait_for("it is healthy again", lambda: [i["status"] for i in roost.instances(other)] == ["HEALTHY"], 60)
    assert answers() == [factor for _, factor in calls]
    roost.call("DELETE", f"/v1/nodes/{other}")


def test_a_model_that_is_a_version_is_in_use(roost: Roost, node: str) -> None:
    for factor in (2, 3):
        assert roost.get(f"/v1/models/scale-{factor}")["usedBy"] == ["scales"]
        assert roost.call("DELETE", f"/v1/models/scale-{factor}").status == 400


def test_curl_calls_a_version(roost: Roost, node: str) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}

    def ask(path: str, *words: str) -> Any:
        command = ["curl", "-sS", "-H", f"Authorization: Bearer {roost.token}", *words, f"{roost.url}/nodes/{node}/proxy/v2/models/{path}"]
        return json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout or b"{}")

    for path, factor in (("scale", 3), ("scale/versions/1", 2), ("scale/versions/2", 3)):
        assert ask(f"{path}/infer", "-d", json.dumps(body))["outputs"][0]["data"] == [factor, 2 * factor]
    assert "version 7 is not found" in ask("scale/versions/7/infer", "-d", json.dumps(body))["error"]
    assert ask("scale/versions/1")["versions"] == ["1"]


def test_execute_names_a_version_or_gets_the_highest(roost: Roost, node: str) -> None:
    path = f"/datasphere/v1/nodes/{node}"
    assert execute(roost, path, ONE).json["output"] == {"y": [[3.0, 6.0]]}
    id = roost.get("/v1/models/scale-2")["id"]
    for name, factor in (("scale", 3.0), ("scale:1", 2.0), ("scale:2", 3.0), (id, 2.0)):
        assert execute(roost, path, {name: ONE}).json["output"] == {name: {"y": [[factor, 2 * factor]]}}
    answer = execute(roost, path, {"scale:7": ONE})
    assert answer.status == 400 and "no version '7'" in str(answer.json) and "scale:1, scale:2" in str(answer.json)
    client = Client(roost)
    values = {"folder_id": roost.folder, "node_id": node, "input": {"scale:1": ONE}}
    assert client.call(SERVICE, "Execute", values).output["scale:1"]["y"][0][1] == 4
    answer = client.call("roost.nodes.scales.Node", "Execute", {"x": {"shape": [1, 2], "values": [1, 2]}})
    assert list(answer.y.values) == [3, 6]


def test_a_typed_call_names_a_version_by_metadata(roost: Roost, node: str) -> None:
    client = Client(roost)

    def call(*versions: str) -> Any:
        metadata = [("model-version", version) for version in versions]
        values = {"x": {"shape": [1, 2], "values": [1, 2]}}
        return client.call("roost.nodes.scales.Node", "Execute", values, metadata=metadata)

    for version, values in (("1", [2, 4]), ("2", [3, 6])):
        assert list(call(version).y.values) == values
    for versions, told in (
        (["7"], "model 'scale' has no version '7'; it has 1, 2, and 2 answers calls that name none"),
        (["01"], "model 'scale' has no version '01'"),
        (["1", "2"], "model-version: is given twice"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(*versions)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT and told in caught.value.details(), caught.value


def test_the_documents_tell_of_versions(roost: Roost, node: str, tmp_path: pathlib.Path) -> None:
    document = json.loads(roost.cli("node", "api", "scales").stdout)
    OpenAPIV31SpecValidator(document).validate()
    assert "versions 1, 2" in document["info"]["description"]
    assert "scale:1" in json.dumps(document["components"]["schemas"]["Input"])
    output = generated(roost, tmp_path, "client_of_versions", document, {"scale:1": ONE})
    assert output == {"scale:1": {"y": [[2.0, 4.0]]}}
    assert "version 2, the highest of 1, 2. The metadata model-version" in roost.cli("node", "api", "scales", "--proto").stdout
    example = roost.cli("node", "api", "scales", "--example").stdout
    assert json.loads(roost.cli("node", "call", "scales", "--input", example).stdout)["y"]
    told = roost.cli("node", "describe", "scales").stdout
    assert "scale:1 (" in told and "scale:2 (" in told, told


def test_what_triton_measures_is_told_by_version(roost: Roost, node: str) -> None:
    for version in ("1", "2"):
        answered(roost, node, tritonclient.http, "scale", version)

    def told() -> Any:
        served = roost.get(f"/v1/nodes/{node}")["status"].get("models", [])
        return served if len(served) == 2 and all(model["requests"] > 0 for model in served) else None

    served = wait_for("figures of both versions", told, 60)
    assert [(model["name"], model.get("version", 1)) for model in served] == [("scale", 1), ("scale", 2)]
    lines = roost.call("GET", "/metrics/nodes?node=scales").body.decode().splitlines()
    found = [line for line in lines if line.startswith("nv_inference_request_success{") and 'model="scale"' in line]
    assert {re.search(r',version="(\d+)"', line)[1] for line in found} == {"1", "2"}, found  # type: ignore[index]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["scale:1=scale-2", "scale=scale-3"], "version 1 of 'scale' is given twice"),
        (["scale:1=scale-2", "scale:2=scale-2"], "'scale:2=scale-2' is given twice; each model stands once"),
        (["scale:0=scale-2"], "'0' of 'scale:0=scale-2' is no version"),
        (["scale:-1=scale-2"], "is no version"),
        (["scale:=scale-2"], "is no version"),
        (["scale:9007199254740992=scale-2"], "whole numbers from 1 to 9007199254740991"),
        (
            ["scale:1=scale-2", "scale:2=scale-wide"],
            "input 'x' is x:FP32[-1,2] in version 1, but x:FP32[-1,3] in version 2",
        ),
    ],
)
def test_versions_that_can_not_be_served_together_are_refused(roost: Roost, node: str, names: list[str], told: str) -> None:
    answer = roost.call("POST", "/v1/nodes", {"name": "refused", "kind": "model", "model": {"names": names}})
    assert answer.status == 400 and told in answer.json["detail"], answer.json


def test_a_version_is_added_and_removed_without_a_failed_request(roost: Roost, node: str) -> None:
    both = ["--model", "scale:1=scale-2", "--model", "scale:2=scale-3"]
    with load(roost, node, factors=(3, 5)) as wrong, load(roost, node, version="1", factors=(2,)) as wrong_of_one:
        roost.cli("node", "update", "scales", *both, "--model", "scale:10=scale-5", "--max-batch", "4", "--wait")
        assert answered(roost, node, tritonclient.grpc, "scale", "10") == (5, "10")
        assert answered(roost, node, tritonclient.http, "scale", "") == (5, "10")
        roost.cli("node", "update", "scales", *both, "--wait")
        with pytest.raises(InferenceServerException, match="version 10 is not found"):
            answered(roost, node, tritonclient.http, "scale", "10")
        assert answered(roost, node, tritonclient.http, "scale", "") == (3, "2")
    assert wrong == wrong_of_one == []


def test_a_broken_version_leaves_the_former_release_serving(roost: Roost, node: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import nosuchpackage\ndef predict(x): return x\n")
    roost.cli("model", "upload", path, "--name", "scale-bad", "--input", "x:FP32[-1,2]", "--output", "y:FP32[-1,2]")
    models = ["--model", "scale:1=scale-2", "--model", "scale:2=scale-bad"]
    with load(roost, node) as wrong:
        failed = roost.cli("node", "update", "scales", *models, "--wait", check=False)
        for version in ("1", "2"):
            assert answered(roost, node, tritonclient.http, "scale", version)[1] == version
    assert wrong == []
    assert failed.returncode != 0 and "version 2 of model 'scale' can't be loaded" in failed.stderr, failed.stderr
    assert "No module named 'nosuchpackage'" in failed.stderr
    roost.cli("node", "rollback", "scales", "--wait", check=False)
    assert answered(roost, node, tritonclient.http, "scale", "2") == (3, "2")


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_dead_process_of_a_version_is_noticed_and_all_versions_answer_again(roost: Roost, node: str, version: str) -> None:
    (instance,) = roost.instances(node)
    before = roost.get(f"/v1/nodes/{node}")["status"].get("reloads", 0)
    stubs = wait_for("its stubs", lambda: processes("triton_python_b", instance["pid"]))
    words = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in stubs}
    os.kill(next(pid for pid, text in words.items() if f"/scale/{version}/model.py" in text), signal.SIGKILL)
    wait_for("it is counted", lambda: roost.get(f"/v1/nodes/{node}")["status"].get("reloads", 0) > before)
    wait_for("it is healthy again", lambda: [i["status"] for i in roost.instances(node)] == ["HEALTHY"], 60)
    for each in ("1", "2"):
        for package in (tritonclient.http, tritonclient.grpc):
            assert answered(roost, node, package, "scale", each)[1] == each
    died = f"process of version {version} of model 'scale' died"
    assert any(died in line["message"] for line in roost.logs(node))
    assert roost.instances(node)[0]["pid"] == instance["pid"]


def test_versions_outlive_the_service_and_so_do_instances_of_a_former_one(
    make_server: Callable[..., Roost], tmp_path: pathlib.Path
) -> None:
    roost = make_server()
    for factor in (2, 3, 5):
        upload(roost, tmp_path, f"scale-{factor}", factor)
    both = deploy(roost, "both", "scale:1=scale-2", "scale:2=scale-3")
    former = deploy(roost, "former", "scale=scale-5")
    pids = {node: roost.instances(node)[0]["pid"] for node in (both, former)}
    roost.kill()
    for path in (roost.data / "models").glob(f"{former}-*/plan.json"):
        plan = json.loads(path.read_text())
        # As a server wrote it that knew no versions.
        del plan["models"][0]["versions"]
        path.write_text(json.dumps(plan))
    roost.start()
    for node, served in ((both, {"1": 2, "2": 3}), (former, {"1": 5})):
        roost.healthy(node, 1)
        assert roost.instances(node)[0]["pid"] == pids[node]
        os.kill(processes("triton_python_b", pids[node])[0], signal.SIGKILL)
        wait_for("it is counted", lambda node=node: roost.get(f"/v1/nodes/{node}")["status"].get("reloads", 0) == 1)
        roost.healthy(node, 1)
        for version, factor in served.items():
            assert answered(roost, node, tritonclient.grpc, "scale", version) == (factor, version)
        assert roost.instances(node)[0]["pid"] == pids[node]


def test_an_alias_refuses_a_node_that_lacks_a_version(roost: Roost, node: str) -> None:
    other = deploy(roost, "one-scale", "scale:2=scale-5")
    roost.cli("alias", "create", "versioned", "--share", "scales=100")
    shares = ["--share", "scales=50", "--share", "one-scale=50"]
    refused = roost.cli("alias", "update", "versioned", *shares, check=False)
    assert refused.returncode != 0 and "models.scale.versions.1: is not served" in refused.stderr, refused.stderr
    roost.cli("alias", "delete", "versioned", "--yes")
    roost.call("DELETE", f"/v1/nodes/{other}")


def test_a_file_makes_versions_and_says_when_nothing_differs(roost: Roost, node: str, tmp_path: pathlib.Path) -> None:
    text = roost.cli("node", "get", "scales", "-o", "yaml").stdout
    assert "scale:1=scale-2" in text and "scale:2=scale-3" in text, text
    path = tmp_path / "node.yaml"
    path.write_text(text)
    assert "unchanged" in roost.cli("apply", "-f", path).stdout
    # Without a number it is version 1.
    path.write_text(text.replace("scale:1=", "scale="))
    assert "unchanged" in roost.cli("apply", "-f", path).stdout
    path.write_text(text.replace("scale:2=", "scale:3="))
    assert "models[1].version" in roost.cli("diff", "-f", path, check=False).stdout
