"""Model nodes whose instances are containers of an image with Triton in it, on a real engine.

The image has Triton's python backend and numpy: Triton's own backends for ONNX and TorchScript are proven as far as its refusal.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import engine
import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import BINARY, ROOT, Roost, wait_for
from engine import SOCKET, ask, containers, import_image, inspect, left_of
from test_model_nodes import processes

sys.path.insert(0, str(ROOT / "python" / "tests"))
from model import conftest as make  # noqa: E402

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)
IMAGE = "testtriton:1"
SUM = """INPUTS = ["a:FP32[-1,2]"]
OUTPUTS = ["sum:FP32[-1,1]"]

def predict(a):
    print("asked for", len(a), "rows", flush=True)
    return {"sum": a.sum(axis=1, keepdims=True) * FACTOR}
"""


def import_triton(name: str) -> None:
    """An image as NVIDIA's are laid out: `tritonserver` is on PATH."""
    tar = ROOT / ".build" / "test-triton.tar"
    maker = ROOT / "Tests" / "Engine" / "build-triton-image"
    if not tar.exists() or maker.stat().st_mtime > tar.stat().st_mtime:
        triton = os.environ.get("ROOST_TRITON", ROOT / ".triton")
        subprocess.run([maker, triton, pathlib.Path(numpy.__file__).parent.parent, tar], check=True, timeout=300)
    import_image(
        tar, name, "ENV PATH=/opt/tritonserver/bin:/usr/local/bin:/usr/bin:/bin",
        "ENV LD_LIBRARY_PATH=/opt/wheel/nvidia_pytriton.libs", 'ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh"]',
    )  # fmt: skip


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    import_triton(IMAGE)
    yield IMAGE
    ask("DELETE", f"/images/{IMAGE}")


@pytest.fixture(scope="module")
def server(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    server = Roost(tmp_path_factory.mktemp("triton") / "data", "--engine", SOCKET).start()
    folder = tmp_path_factory.mktemp("models")
    for factor in (1, 2):
        path = folder / f"sum-{factor}.py"
        path.write_text(SUM.replace("FACTOR", str(factor)))
        server.cli("model", "upload", path, "--name", f"sum-{factor}")
    server.cli("model", "upload", make.MAKERS["onnx"](folder), "--name", "net")
    server.cli("model", "upload", make.MAKERS["sklearn"](folder), "--name", "iris")
    yield server
    nodes = [node["id"] for node in server.get("/v1/nodes")["nodes"]]
    server.close()
    assert [left_of(node) for node in nodes] == [[] for _ in nodes]


def deploy(server: Roost, name: str, model: str = "sum=sum-1", *flags: str) -> str:
    server.cli(
        "node", "create", name, "--model", model, "--triton-image", IMAGE, "--memory", "1GiB", "--cpus", "1", *flags, "--wait"
    )
    return str(next(node["id"] for node in server.get("/v1/nodes")["nodes"] if node["name"] == name))


def total(server: Roost, node: str, package: Any = tritonclient.http, version: str = "") -> float:
    """What a stock client gets for a row of two and three."""
    client = package.InferenceServerClient(f"127.0.0.1:{server.port}")
    try:
        sent = package.InferInput("a", [1, 2], "FP32")
        sent.set_data_from_numpy(numpy.array([[2, 3]], "float32"))
        headers = {"authorization": f"Bearer {server.token}", "x-node-id": node}
        return float(client.infer("sum", [sent], model_version=version, headers=headers).as_numpy("sum")[0][0])
    finally:
        client.close()


def answers(server: Roost, node: str) -> bool:
    try:
        return total(server, node) == 5
    except tritonclient.utils.InferenceServerException:
        return False


@pytest.fixture(scope="module")
def node(server: Roost) -> str:
    return deploy(server, "sums")


def test_a_model_in_an_image_answers_stock_clients_and_execute(server: Roost, node: str) -> None:
    assert total(server, node) == 5
    assert total(server, node, tritonclient.grpc) == 5
    assert '"sum"' in server.cli("node", "call", "sums", "--input", '{"a": [[2, 3]]}').stdout
    assert "sum" in server.cli("node", "api", "sums").stdout


def test_its_container_is_walled_in_and_only_reads_the_models(server: Roost, node: str) -> None:
    found = inspect(server.instances(node)[0]["id"])
    limits = found["HostConfig"]
    assert limits["ReadonlyRootfs"] and limits["CapDrop"] == ["ALL"] and "no-new-privileges" in limits["SecurityOpt"]
    assert (limits["Memory"], limits["NanoCpus"], limits["ShmSize"]) == (1 << 30, 10**9, 1 << 30)
    mounts = {m["Destination"]: m["RW"] for m in found["Mounts"]}
    assert mounts == {
        "/run/roost/repository": False, "/run/roost/files": False, "/run/roost/python": False,
        "/opt/tritonserver/backends/python": True,
    }  # fmt: skip
    assert found["Path"] == "tritonserver"
    network = ask("GET", f"/networks/roost-{node}")
    assert network["Internal"], "--subnet none, the default: no way out"


def test_its_log_measures_and_engine_are_told(server: Roost, node: str) -> None:
    total(server, node)
    wait_for("its log", lambda: any("asked for 1 rows" in line["message"] for line in server.logs(node)))

    def measured() -> bool:
        text = server.call("GET", "/metrics/nodes").body.decode()
        return any("nv_inference_request_success" in line and node in line for line in text.splitlines())

    wait_for("Triton's metrics", measured)
    facts = {c["type"]: c for c in server.status("sums")["conditions"]}
    assert facts["Engine"]["status"] and facts["Models"]["reason"] == "Loaded"


def test_callers_can_not_change_what_is_served(server: Roost, node: str) -> None:
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.port}")
    with pytest.raises(tritonclient.utils.InferenceServerException, match="restricted"):
        client.unload_model("sum", headers={"authorization": f"Bearer {server.token}", "x-node-id": node})
    client.close()


def test_a_container_that_is_killed_is_replaced_and_told(server: Roost, node: str) -> None:
    former = server.instances(node)[0]["id"]
    ask("POST", f"/containers/roost-{former}/kill")
    wait_for("another instance answers", lambda: answers(server, node) and server.instances(node)[0]["id"] != former, 120)
    assert "SIGKILL" in server.status("sums")["lastError"]["message"]


@pytest.mark.skipif(bool(SOCKET) and not os.environ.get("ROOST_TEST_ENGINE_PID"), reason="the engine is not ours to stop")
def test_why_a_container_ended_is_told_also_when_its_engine_says_it_late(server: Roost, node: str) -> None:
    former = server.instances(node)[0]
    dockerd = engine.Engine()
    dockerd.send(signal.SIGSTOP)
    try:
        os.kill(former["pid"], signal.SIGKILL)
        # The models can't be loaded anew either, which is no reason.
        wait_for("the end of the model's process is seen", lambda: "died" in str(server.status("sums").get("lastError")))
    finally:
        dockerd.send(signal.SIGCONT)
    wait_for("another instance answers", lambda: answers(server, node) and server.instances(node)[0]["id"] != former["id"], 120)
    assert "SIGKILL" in server.status("sums")["lastError"]["message"]


@pytest.mark.skipif(bool(SOCKET) and not os.environ.get("ROOST_TEST_ENGINE_PID"), reason="the engine is not ours to stop")
def test_what_an_engine_makes_after_it_was_waited_for_is_removed(server: Roost) -> None:
    node = deploy(server, "late")
    dockerd = engine.Engine()
    dockerd.send(signal.SIGSTOP)
    try:
        changed = server.call("PATCH", f"/v1/nodes/{node}?update_mask=instances", {"instances": {"count": 2}})
        assert changed.status == 202, changed
        wait_for("its call has failed", lambda: "did not answer" in str(server.status("late").get("lastError")), 120)
    finally:
        dockerd.send(signal.SIGCONT)
    server.healthy(node, 2)
    assert sum(name.endswith("-disk") for name in left_of(node)) == 3, "the engine made what was asked for before"
    server.cli("node", "delete", "late", "--yes", "--wait")
    assert left_of(node) == []


def test_a_restarted_server_adopts_the_containers(server: Roost, node: str) -> None:
    before = server.instances(node)
    server.kill()
    server.start()
    wait_for("it answers", lambda: answers(server, node))
    after = server.instances(node)
    assert [(i["id"], i["pid"]) for i in after] == [(i["id"], i["pid"]) for i in before]
    wait_for("its meter", lambda: server.instances(node)[0].get("cpuSeconds", 0) > 0)


def test_an_update_rolls_to_another_model(server: Roost) -> None:
    node = deploy(server, "rolling")
    assert total(server, node) == 5
    server.cli("node", "update", "rolling", "--model", "sum=sum-2", "--wait")
    assert total(server, node) == 10
    wait_for("one container", lambda: len(containers(node)) == 1)
    server.cli("node", "delete", "rolling", "--yes", "--wait")
    assert left_of(node) == []
    assert not [p for p in (server.data / "models").iterdir() if p.name.startswith(node)]


def test_a_node_goes_from_a_process_to_containers_and_back(server: Roost) -> None:
    server.cli("node", "create", "moving", "--model", "sum=sum-1", "--memory", "1GiB", "--cpus", "1", "--wait")
    node = str(next(n["id"] for n in server.get("/v1/nodes")["nodes"] if n["name"] == "moving"))
    assert containers(node) == [] and answers(server, node)
    server.cli("node", "update", "moving", "--triton-image", IMAGE, "--wait")
    assert len(containers(node)) == 1 and answers(server, node)
    assert IMAGE in server.cli("node", "describe", "moving").stdout
    server.cli("node", "update", "moving", "--max-batch", "8", "--wait")
    assert len(containers(node)) == 1, "what an update does not name stays"
    server.cli("node", "update", "moving", "--triton-image", "none", "--wait")
    wait_for("no container", lambda: containers(node) == [])
    assert answers(server, node)
    server.cli("node", "delete", "moving", "--yes", "--wait")
    assert left_of(node) == []


def test_versions_of_a_model_are_served_by_one_container(server: Roost) -> None:
    node = deploy(server, "versions", "sum:1=sum-1", "--model", "sum:2=sum-2")
    assert len(containers(node)) == 1
    assert [total(server, node, version=version) for version in ("1", "2", "")] == [5, 10, 10]
    server.cli("node", "delete", "versions", "--yes", "--wait")


def test_a_dead_model_process_in_a_container_is_loaded_anew(server: Roost, node: str) -> None:
    instance = server.instances(node)[0]
    pids = [p for p in processes("triton_python_b", instance["pid"])]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGKILL)
    wait_for("it is loaded anew", lambda: server.status("sums").get("reloads") == 1)
    wait_for("it answers again", lambda: answers(server, node))
    assert server.instances(node)[0]["id"] == instance["id"]


def test_a_server_that_names_an_image_runs_new_nodes_in_it(server: Roost, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Roost(tmp_path_factory.mktemp("usual") / "data", "--engine", SOCKET, "--triton-image", IMAGE).start()
    try:
        path = other.data / "sum.py"
        path.write_text(SUM.replace("FACTOR", "1"))
        other.cli("model", "upload", path, "--name", "sum")
        small = ["--model", "sum", "--memory", "1GiB", "--cpus", "1", "--wait"]
        other.cli("node", "create", "usual", *small)
        other.cli("node", "create", "apart", *small, "--triton-image", "none")
        ids = {n["name"]: n["id"] for n in other.get("/v1/nodes")["nodes"]}
        assert (len(containers(ids["usual"])), containers(ids["apart"])) == (1, [])
        assert answers(other, ids["usual"]) and answers(other, ids["apart"])
        other.cli("node", "update", "apart", "--max-batch", "8", "--wait")
        assert containers(ids["apart"]) == []
    finally:
        other.close()


def test_what_does_not_fit_an_image_is_refused(server: Roost) -> None:
    def refusal(**body: Any) -> str:
        model = {"names": ["sum-1"], **body.pop("model")}
        return str(server.call("POST", "/v1/nodes", {"name": "refused", "kind": "model", "model": model, **body}).json["detail"])

    assert "is a URL" in refusal(model={"image": "https://x/y"})
    assert "only images have native backends" in refusal(model={"nativeBackends": True})
    assert "find their packages in the image" in refusal(model={"image": IMAGE}, environment="other")


def failure(server: Roost, name: str, configuration: str = "c1.4", **model: Any) -> str:
    body = {"name": name, "kind": "model", "configuration": configuration, "memoryBytes": 1 << 30, "cpus": 1, "model": model}
    answer = server.call("POST", "/v1/nodes", body)
    operation = server.finished(answer.json["id"], 120)
    message = str(operation["error"]["message"])
    assert server.status(name)["lastError"]["message"] in message or message
    server.call("DELETE", f"/v1/nodes/{name}")
    return message


def test_an_image_without_triton_says_so(server: Roost) -> None:
    message = failure(server, "no-triton", names=["sum-1"], image="testapp:1")
    assert "the command 'tritonserver' does not exist in the image" in message


@pytest.fixture(scope="module")
def private(server: Roost) -> str:
    """The image in a registry with a password, and secrets with the right one and a wrong one."""
    image = f"{engine.REGISTRY}/team/triton"
    # Imported once more: what was pushed is from a registry under all its names.
    import_triton(f"{image}:1")
    login = {"username": "json_key", "password": engine.PASSWORD, "serveraddress": engine.REGISTRY}
    told = base64.urlsafe_b64encode(json.dumps(login).encode()).decode()
    subprocess.run(
        ["curl", "-fsS", "--unix-socket", SOCKET, "-X", "POST", "-H", f"X-Registry-Auth: {told}", "-o", os.devnull,
         f"http://engine/v1.41/images/{image}/push?tag=1"],
        check=True, timeout=300,
    )  # fmt: skip
    ask("DELETE", f"/images/{image}:1")
    for name, value in (("right-password", engine.PASSWORD + "\n"), ("wrong-password", "other")):
        subprocess.run([BINARY, "secret", "create", name], env=server.environment, input=value.encode(), check=True, capture_output=True)
    return f"{image}:1"


def test_a_private_image_is_got_with_a_user_and_a_secret(server: Roost, private: str) -> None:
    message = failure(server, "no-login", names=["sum-1"], image=private)
    assert "give the node --registry-user and --registry-password-secret (model.passwordSecret)" in message
    message = failure(server, "bad-login", names=["sum-1"], image=private, passwordSecret="wrong-password")
    assert "refuses user 'json_key' (model.registryUser)" in message, message
    assert "roost secret update wrong-password" in message, message
    message = failure(server, "bad-user", names=["sum-1"], image=private, registryUser="other", passwordSecret="right-password")
    assert "refuses user 'other' (model.registryUser)" in message, message

    login = ["--registry-user", "json_key", "--registry-password-secret", "right-password"]
    flags = ["--memory", "1GiB", "--cpus", "1", "--wait"]
    server.cli("node", "create", "private", "--model", "sum=sum-1", "--triton-image", private, *login, *flags)
    node = str(next(n["id"] for n in server.get("/v1/nodes")["nodes"] if n["name"] == "private"))
    assert answers(server, node)
    assert "json_key, password in secret right-password" in server.cli("node", "describe", "private").stdout
    pinned = next(line for line in server.cli("node", "logs", "private").stdout.splitlines() if "pulled" in line)
    assert "team/triton@sha256:" in pinned
    used = server.cli("secret", "delete", "right-password", "--yes", check=False)
    assert used.returncode != 0 and "private" in used.stderr, used
    server.cli("node", "update", "private", "--model", "sum=sum-2", "--wait")
    assert total(server, node) == 10, "a new release is got with the same login"
    server.cli("node", "update", "private", "--registry-user", "other", "--wait", check=False)
    told = server.status("private")["lastError"]["message"]
    assert "refuses user 'other'" in told and total(server, node) == 10, told
    server.cli("node", "update", "private", "--triton-image", "none", "--wait")
    assert total(server, node) == 10
    assert "Registry login" not in server.cli("node", "describe", "private").stdout
    server.cli("secret", "delete", "right-password", "--yes")
    server.cli("node", "delete", "private", "--yes", "--wait")


@pytest.mark.parametrize(
    ("model", "status", "field", "words"),
    [
        ({"image": "a", "passwordSecret": "nothing"}, 404, "model.passwordSecret", "there is no secret 'nothing'"),
        ({"image": "a", "passwordSecret": "Hunter 2!"}, 400, "model.passwordSecret", "give the name, never the value"),
        ({"image": "a", "registryUser": "me"}, 400, "model.registryUser", "give model.passwordSecret too"),
        ({"image": "a", "registryUser": "a:b", "passwordSecret": "abc"}, 400, "model.registryUser", "not a user name"),
        ({"passwordSecret": "abc"}, 400, "model.passwordSecret", "only images come from a registry"),
        ({"image": "none", "registryUser": "me"}, 400, "model.registryUser", "only images come from a registry"),
    ],
)
def test_a_wrong_login_is_named(server: Roost, model: dict[str, Any], status: int, field: str, words: str) -> None:
    body = {"name": "wrong", "kind": "model", "model": {"names": ["sum-1"], **model}}
    answer = server.call("POST", "/v1/nodes:validate", body)
    assert (answer.status, answer.json["field"]) == (status, field) and words in answer.json["detail"], answer
    assert "Hunter" not in answer.json["detail"]


def test_gpus_that_the_engine_can_not_give_are_said(server: Roost) -> None:
    message = failure(server, "gpus", configuration="g1.1", names=["sum-1"], image=IMAGE)
    assert "has 1 GPU, and the container engine can give none: install NVIDIA's driver and container toolkit" in message, message
    refused = server.call("POST", "/v1/nodes:validate", {"name": "no-image", "kind": "model", "configuration": "g1.1", "model": {"names": ["sum-1"]}})
    assert refused.status == 400 and "an image with Triton in it (--triton-image)" in refused.json["detail"], refused


@pytest.mark.parametrize("package", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_texts_pass_through_the_python_backend_of_an_image(server: Roost, tmp_path: pathlib.Path, package: Any) -> None:
    name = f"texts-{package.__name__.split('.')[-1]}"
    server.cli("model", "upload", make.make_text_python(tmp_path), "--name", name)
    node = deploy(server, name, name)
    client = package.InferenceServerClient(f"127.0.0.1:{server.port}")
    texts, counts = package.InferInput("t", [2, 2], "BYTES"), package.InferInput("n", [2, 1], "INT64")
    texts.set_data_from_numpy(numpy.array([["", "żółw"], ["a", "b"]], dtype=object))
    counts.set_data_from_numpy(numpy.array([[1], [2]], "int64"))
    answer = client.infer(name, [texts, counts], headers={"authorization": f"Bearer {server.token}", "x-node-id": node})
    assert answer.as_numpy("back").tolist() == [["żółw".encode(), b""], [b"b", b"a"]]
    assert answer.as_numpy("joined").tolist() == [["|żółw".encode()], [b"a|ba|b"]]
    client.close()
    server.cli("node", "delete", name, "--yes", "--wait")


def test_a_missing_package_and_a_missing_backend_say_what_to_do(server: Roost) -> None:
    message = failure(server, "no-package", names=["iris"], image=IMAGE)
    assert "No module named" in message and "find their packages in the image" in message
    message = failure(server, "no-backend", names=["net"], image=IMAGE)
    assert "onnxruntime" in message and "--native-backends off" in message
    message = failure(server, "no-native", names=["net"], image=IMAGE, nativeBackends=False)
    assert "No module named 'onnxruntime'" in message
