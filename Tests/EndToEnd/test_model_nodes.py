"""Saved models become nodes, called through the gateway by stock clients."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import ROOT, Roost, wait_for

sys.path.insert(0, str(ROOT / "python" / "tests"))
from model import conftest as make  # noqa: E402


def deploy(roost: Roost, name: str, *models: str, **more: Any) -> str:
    """A node of models, healthy."""
    answer = roost.call("POST", "/v1/nodes", {"name": name, "kind": "model", "model": {"names": list(models)}, **more})
    assert answer.status < 300, answer
    operation = roost.finished(answer.json["id"], 120)
    assert "error" not in operation, operation
    return str(next(node for node in roost.get("/v1/nodes")["nodes"] if node["name"] == name)["id"])


def headers(roost: Roost, node: str) -> dict[str, str]:
    return {"authorization": f"Bearer {roost.token}", "x-node-id": node}


def stock(roost: Roost, node: str, model: str, package: Any, inputs: dict[str, Any]) -> Any:
    """The answer that a stock client gets through the gateway."""
    client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
    try:
        sent = []
        for name, array in inputs.items():
            datatype = {"f": "FP32", "i": "INT64", "O": "BYTES"}[array.dtype.kind]
            sent.append(package.InferInput(name, array.shape, datatype))
            sent[-1].set_data_from_numpy(array)
        return client.infer(model, sent, headers=headers(roost, node))
    finally:
        client.close()


def infer(roost: Roost, node: str, model: str, package: Any, inputs: dict[str, Any], output: str) -> Any:
    """One output of it."""
    return stock(roost, node, model, package, inputs).as_numpy(output)


@pytest.fixture(scope="module")
def models(roost: Roost, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """A model of each kind, uploaded by the command line under the name of its kind."""
    files: dict[str, pathlib.Path] = {}
    for kind, maker in make.MAKERS.items():
        folder = tmp_path_factory.mktemp(kind)
        files[kind] = maker(folder)
        roost.cli("model", "upload", files[kind], "--name", f"a-{kind}")
    return files


def rows(kind: str) -> dict[str, Any]:
    if kind == "python":
        return {"a": numpy.ones((3, 2), "float32"), "b": numpy.full((3, 1), 5, "int64")}
    return {"x" if kind == "onnx" else "input__0": make.data()[0][:3]}


def expected(kind: str, path: pathlib.Path) -> dict[str, Any]:
    from roost.model import predictors

    return predictors.checked(predictors.load(kind, str(path)), rows(kind))


@pytest.fixture(scope="module")
def node(roost: Roost, models: dict[str, pathlib.Path]) -> str:
    """One node of all models."""
    return deploy(roost, "all-models", *(f"a-{kind}" for kind in models), memoryBytes=2 << 30, cpus=2)


@pytest.mark.parametrize("kind", sorted(make.MAKERS))
def test_a_saved_model_answers_through_the_gateway_as_its_own_package_does(
    roost: Roost, models: dict[str, pathlib.Path], node: str, kind: str
) -> None:
    known = roost.get(f"/v1/models/a-{kind}")
    assert known["kind"] == kind and known["usedBy"] == ["all-models"]
    for output, array in expected(kind, models[kind]).items():
        for package in (tritonclient.http, tritonclient.grpc):
            for name in (f"a-{kind}", known["id"]):
                got = infer(roost, node, name, package, rows(kind), output)
                numpy.testing.assert_allclose(got, array, rtol=1e-5)


def test_the_stock_clients_see_the_model_ready_and_its_signature(roost: Roost, node: str) -> None:
    for package in (tritonclient.http, tritonclient.grpc):
        client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
        assert client.is_server_live(headers=headers(roost, node))
        assert client.is_model_ready("a-onnx", headers=headers(roost, node))
        told = client.get_model_metadata("a-onnx", headers=headers(roost, node))
        shape = told["inputs"][0]["shape"] if isinstance(told, dict) else told.inputs[0].shape
        assert [int(length) for length in shape] == [-1, 4]
        client.close()


def test_callers_need_a_token_and_can_not_change_what_is_served(roost: Roost, node: str) -> None:
    for package in (tritonclient.http, tritonclient.grpc):
        client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")
        with pytest.raises(tritonclient.utils.InferenceServerException):
            client.get_model_metadata("a-onnx", headers={"x-node-id": node})
        with pytest.raises(tritonclient.utils.InferenceServerException, match="restricted"):
            client.unload_model("a-onnx", headers=headers(roost, node))
        client.close()


def test_a_model_that_a_node_serves_is_not_deleted(roost: Roost, node: str) -> None:
    answer = roost.call("DELETE", "/v1/models/a-onnx")
    assert answer.status == 400 and "all-models" in answer.json["detail"]


def test_a_file_comes_back_as_it_was(
    roost: Roost, models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    roost.cli("model", "download", "a-sklearn", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == models["sklearn"].read_bytes()


def test_a_pickle_is_loaded_where_nothing_of_the_server_can_be_reached(roost: Roost, tmp_path: pathlib.Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.system, (f"cp {roost.data}/admin.token {tmp_path}/stolen; touch {tmp_path}/ran",))

    path = tmp_path / "trap.pkl"
    path.write_bytes(pickle.dumps(Trap()))
    refused = roost.cli("model", "upload", path, "--kind", "sklearn", check=False)
    assert refused.returncode != 0 and "neither predict nor transform" in refused.stderr
    assert not (tmp_path / "ran").exists() and not (tmp_path / "stolen").exists()


def test_a_model_that_can_not_be_loaded_is_the_last_error_of_its_node(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import nosuchpackage\ndef predict(x): return x\n")
    shape = ["--input", "x:FP32[-1,2]", "--output", "y:FP32[-1,2]"]
    roost.cli("model", "upload", path, "--name", "broken", *shape)
    answer = roost.call("POST", "/v1/nodes", {"name": "broken", "kind": "model", "model": {"names": ["broken"]}})
    operation = roost.finished(answer.json["id"], 120)
    assert "No module named 'nosuchpackage'" in operation["error"]["message"]
    status = roost.status("broken")
    assert "model 'broken' can't be loaded" in status["lastError"]["message"]
    roost.call("DELETE", "/v1/nodes/broken")


def test_a_wrong_signature_is_told_by_the_canary(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("def predict(x): return x[:, :1]\n")
    roost.cli("model", "upload", path, "--name", "wrong", "--input", "x:FP32[-1,2]", "--output", "y:FP32[-1,2]")
    answer = roost.call("POST", "/v1/nodes", {"name": "wrong", "kind": "model", "model": {"names": ["wrong"]}})
    operation = roost.finished(answer.json["id"], 120)
    assert "'y' of the model has shape [1, 1], the signature says [-1, 2]" in operation["error"]["message"]
    roost.call("DELETE", "/v1/nodes/wrong")


def processes(name: str, inside: int) -> list[int]:
    """Processes of this name below another."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        names[int(entry.name)] = stat[stat.index("(") + 1 : stat.rindex(")")]
        children.setdefault(int(stat[stat.rindex(")") + 2 :].split()[1]), []).append(int(entry.name))
    found, left = [], [inside]
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        if names.get(pid, "").startswith(name):
            found.append(pid)
    return found


def test_an_instance_is_reached_by_its_owner_alone(roost: Roost, node: str) -> None:
    """Triton listens on no port, and its sockets are closed to other users of the machine."""
    instance = roost.instances(node)[0]
    address = instance["address"]
    assert address.startswith(f"unix:{roost.data}/models/{node}-"), address
    # Without a network of its own there is nothing but the loopback.
    tritons = processes("tritonserver", instance["pid"])
    assert tritons
    for pid in tritons:
        ports = pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()
        assert len(ports) == 1, ports
        assert "lo:" in pathlib.Path(f"/proc/{pid}/net/dev").read_text().splitlines()[-1]
    path = address.removeprefix("unix:")
    assert os.stat(path).st_mode & 0o022 == 0
    asked = ["curl", "-sS", "--fail", "--unix-socket", path, "http://localhost/v2/health/live"]
    subprocess.run(asked, check=True)
    if os.geteuid() == 0:
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        refused = subprocess.run([*other, *asked], capture_output=True, text=True)
        assert refused.returncode == 7, refused  # "couldn't connect"


def test_a_model_can_not_lead_its_callers_elsewhere(roost: Roost, tmp_path: pathlib.Path) -> None:
    """A model that puts a socket of its own, or a link, in place of Triton's changes nothing for those who call it."""
    path = tmp_path / "m.py"
    path.write_text(
        "import os, socket, numpy\n"
        "def predict(x):\n"
        "    for name in os.listdir('/run/roost/sockets'):\n"
        "        os.unlink(f'/run/roost/sockets/{name}')\n"
        "    os.symlink('/run/roost/elsewhere', '/run/roost/sockets/http')\n"
        "    socket.socket(socket.AF_UNIX).bind('/run/roost/sockets/grpc:1')\n"
        "    return x + len(os.listdir('/run/roost/sockets'))\n"
    )
    roost.cli("model", "upload", path, "--name", "sly", "--input", "x:INT64[-1,1]", "--output", "y:INT64[-1,1]")
    node = deploy(roost, "sly", "sly")
    for package in (tritonclient.http, tritonclient.grpc) * 3:
        # The canary has called it before any of these.
        assert infer(roost, node, "sly", package, {"x": numpy.ones((1, 1), "int64")}, "y").tolist() == [[3]]
    assert not [line for line in roost.logs(node) if "NODELAY" in line]
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_a_dead_model_process_is_noticed_and_the_model_is_loaded_anew(roost: Roost, models: Any) -> None:
    node = deploy(roost, "healing", "a-python")
    pid = roost.instances(node)[0]["pid"]
    os.kill(wait_for("its stub", lambda: processes("triton_python_b", pid))[0], signal.SIGKILL)

    def answers() -> bool:
        try:
            return bool(infer(roost, node, "a-python", tritonclient.http, rows("python"), "sum")[0][0] == 7)
        except tritonclient.utils.InferenceServerException:
            return False

    wait_for("the model answers again", answers, 60)
    wait_for("its log tells", lambda: any("loaded anew" in line["message"] for line in roost.logs(node)))
    assert roost.instances(node)[0]["pid"] == pid
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_a_triton_that_ends_is_replaced(roost: Roost, models: Any) -> None:
    node = deploy(roost, "replaced", "a-onnx")
    pid = roost.instances(node)[0]["pid"]
    os.kill(processes("tritonserver", pid)[0], signal.SIGKILL)
    wait_for("another instance", lambda: [i for i in roost.instances(node) if i.get("pid") not in (None, pid) and i["status"] == "HEALTHY"], 90)
    numpy.testing.assert_allclose(
        infer(roost, node, "a-onnx", tritonclient.grpc, rows("onnx"), "y"), rows("onnx")["x"] * [1, 2, 3, 4]
    )
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_instances_outlive_the_service_and_are_found_again(make_server: Callable[..., Roost], tmp_path: pathlib.Path) -> None:
    roost = make_server()
    roost.cli("model", "upload", make.make_onnx(tmp_path), "--name", "kept")
    node = deploy(roost, "kept", "kept")
    pid = roost.instances(node)[0]["pid"]
    roost.kill()
    roost.start()
    roost.healthy(node, 1)
    assert roost.instances(node)[0]["pid"] == pid
    assert infer(roost, node, "kept", tritonclient.http, rows("onnx"), "y").shape == (3, 4)
    roost.call("POST", f"/v1/nodes/{node}:suspend")
    wait_for("no instance", lambda: not roost.instances(node))
    roost.call("POST", f"/v1/nodes/{node}:resume")
    roost.healthy(node, 1)
    assert infer(roost, node, "kept", tritonclient.http, rows("onnx"), "y").shape == (3, 4)


def test_a_model_reaches_no_network(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(
        "import errno, socket, numpy\n"
        "def told(kind, where):\n"
        "    try:\n"
        "        s = socket.socket(socket.AF_INET, kind); s.settimeout(2)\n"
        "        s.sendto(b'x', where) if kind == socket.SOCK_DGRAM else s.connect(where)\n"
        "    except OSError as error: return errno.errorcode[error.errno]\n"
        "    return 'sent'\n"
        "def predict(x):\n"
        f"    server, far = ('127.0.0.1', {roost.port}), ('192.0.2.1', 9)\n"
        "    told_all = told(socket.SOCK_STREAM, server), told(socket.SOCK_STREAM, far), told(socket.SOCK_DGRAM, far)\n"
        "    expected = ('ECONNREFUSED', 'ENETUNREACH', 'ENETUNREACH')\n"
        "    return numpy.array([[int(a == b) for a, b in zip(told_all, expected)]] * len(x), 'int64')\n"
    )
    roost.cli("model", "upload", path, "--name", "nosy", "--input", "x:INT64[-1,1]", "--output", "y:INT64[-1,3]")
    node = deploy(roost, "nosy", "nosy")
    got = infer(roost, node, "nosy", tritonclient.http, {"x": numpy.ones((1, 1), "int64")}, "y")
    assert got.tolist() == [[1, 1, 1]]
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_a_notebook_saves_and_deploys_a_model_in_one_line(roost: Roost, tmp_path: pathlib.Path) -> None:
    notebook = roost.checkpoint(
        "from sklearn.linear_model import LinearRegression\nmodel = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])",
        "%roost deploy-model model --name line",
        "done = True",
        name="line-checkpoint",
    )
    assert notebook
    known = roost.get("/v1/models/line")
    assert (known["kind"], known["variable"]) == ("sklearn", "model")
    node = next(n for n in roost.get("/v1/nodes")["nodes"] if n["name"] == "line")["id"]
    roost.healthy(node, 1)
    got = infer(roost, node, "line", tritonclient.http, {"input__0": numpy.array([[2.0]], "float32")}, "output__0")
    assert got[0][0] == pytest.approx(5.0)
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_the_example_does_what_its_readme_says(roost: Roost, tmp_path: pathlib.Path) -> None:
    example = ROOT / "examples" / "model-node"
    subprocess.run([sys.executable, example / "train.py", tmp_path], check=True, timeout=120)
    roost.cli("model", "upload", tmp_path / "iris.pkl", "--name", "iris")
    roost.cli("model", "upload", tmp_path / "mosaic.onnx", "--name", "mosaic")
    roost.cli("node", "create", "flowers", "--model", "iris", "--model", "mosaic", "--wait")
    node = next(n["id"] for n in roost.get("/v1/nodes")["nodes"] if n["name"] == "flowers")
    done = subprocess.run(
        [sys.executable, example / "client.py", node], capture_output=True, text=True, timeout=120,
        env={**os.environ, "ROOST_URL": roost.url, "ROOST_TOKEN_FILE": str(roost.data / "admin.token")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("classes [0, 2]") == 2 and "a picture of 224 x 224" in done.stdout
    described = roost.cli("node", "describe", "flowers").stdout
    assert "input__0:FP32[-1,4]" in described and "answered a request made from the signature" in described
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_requests_at_the_same_time_run_together(roost: Roost, node: str) -> None:
    def stats() -> Any:
        answer = roost.call("GET", f"/nodes/{node}/proxy/v2/models/a-python/stats")
        return answer.json["model_stats"][0]

    before = stats()

    def ask(_: int) -> None:
        for _ in range(10):
            infer(roost, node, "a-python", tritonclient.http, rows("python"), "sum")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    after = stats()
    asked = after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"]
    assert asked >= 160 and after["execution_count"] - before["execution_count"] < asked


# The JSON view: inputs and outputs as nested lists by name.


@pytest.fixture(scope="module")
def adder(roost: Roost, models: Any) -> Iterator[str]:
    """A node of one model."""
    node = deploy(roost, "adder", "a-python")
    yield node
    roost.call("DELETE", f"/v1/nodes/{node}")


def execute(roost: Roost, path: str, value: Any, **headers: str) -> Any:
    return roost.call("POST", f"{path}:execute", {"folder_id": roost.folder, "input": value}, headers=headers)


def lists(kind: str) -> dict[str, Any]:
    return {name: array.tolist() for name, array in rows(kind).items()}


@pytest.mark.parametrize("kind", sorted(make.MAKERS))
def test_a_model_takes_and_gives_nested_lists(
    roost: Roost, models: dict[str, pathlib.Path], node: str, kind: str
) -> None:
    known = roost.get(f"/v1/models/a-{kind}")
    for name in (f"a-{kind}", known["id"]):
        answer = execute(roost, f"/datasphere/v1/nodes/{node}", {name: lists(kind)})
        assert answer.status == 200, answer
        output = answer.json["output"][name]
        for told, array in expected(kind, models[kind]).items():
            numpy.testing.assert_allclose(output[told], array, rtol=1e-5)


def test_the_only_model_of_a_node_needs_no_name(roost: Roost, adder: str) -> None:
    for value in (lists("python"), {"a-python": lists("python")}):
        answer = execute(roost, f"/datasphere/v1/nodes/{adder}", value)
        assert answer.status == 200, answer
        output = answer.json["output"]
        assert output.get("a-python", output) == {"sum": [[7.0], [7.0], [7.0]]}
    assert float(answer.headers["server-timing"].split("upstream;dur=")[1]) > 0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [[1, 2]]}, ["input 'b': missing", "b:INT64[-1,1]"]),
        ({"a": [[1, 2]], "b": [[1]], "c": 1}, ["input 'c': unknown", "a:FP32[-1,2], b:INT64[-1,1]"]),
        ({"a": [1, 2], "b": [[1]]}, ["input 'a': it has the shape [2]", "takes [-1,2]", "[[0.5,0.5]]"]),
        ({"a": [[1, 2, 3]], "b": [[1]]}, ["input 'a': it has the shape [1,3]"]),
        ({"a": [[1, 2], [3]], "b": [[1]]}, ["input 'a': must be nested lists of FP32", "differ in length"]),
        ({"a": [["x", 2]], "b": [[1]]}, ["input 'a': must be nested lists of FP32"]),
        ({"a": [[1, 2]], "b": [[1.5]]}, ["input 'b': must be nested lists of INT64", "1.5 is not of INT64"]),
        ({"a": [[1, 2]], "b": [[1], [2]]}, ["input 'b': 2 rows, but 'a' has 1"]),
        ({"a": [], "b": []}, ["input 'a': it has a list without items"]),
        ({"a": [[1, 2]] * 100, "b": [[1]] * 100}, ["batch-size must be <= 64"]),
    ],
)  # fmt: skip
def test_a_bad_input_is_named_with_what_to_send(roost: Roost, adder: str, value: Any, told: list[str]) -> None:
    answer = execute(roost, f"/datasphere/v1/nodes/{adder}", value)
    assert answer.status == 400 and answer.json["code"] == 3, answer
    for words in told:
        assert words in answer.json["message"], answer.json


def test_a_request_for_several_models_names_one(roost: Roost, node: str) -> None:
    for value in (lists("python"), {}, {"nosuch": lists("python")}, {"a-python": lists("python"), "a-onnx": {}}):
        answer = execute(roost, f"/datasphere/v1/nodes/{node}", value)
        assert answer.status == 400 and "a-python" in answer.json["message"], answer


def test_what_a_model_raises_is_told_as_a_cells_own_errors_are(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("def predict(x):\n    if x.max() > 0: raise ValueError('too much')\n    return x\n")
    roost.cli("model", "upload", path, "--name", "raises", "--input", "x:FP32[-1,1]", "--output", "y:FP32[-1,1]")
    node = deploy(roost, "raises", "raises")
    answer = execute(roost, f"/datasphere/v1/nodes/{node}", {"x": [[1]]})
    assert answer.json["message"].endswith("ValueError: too much") and answer.headers["x-roost-fault"] == "node"
    assert answer.json["details"][0]["error_name"] == "ValueError", answer.json
    assert execute(roost, f"/datasphere/v1/nodes/{node}", {"x": [[0]]}).json["output"] == {"y": [[0.0]]}
    roost.call("DELETE", f"/v1/nodes/{node}")


@pytest.mark.parametrize("depth", [0, 1])
def test_models_work_without_walls_and_in_folders_with_long_names(
    tmp_path: pathlib.Path, models: dict[str, pathlib.Path], depth: int
) -> None:
    """Names of sockets are at most 107 bytes long for the kernel."""
    folder = tmp_path.joinpath(*["a-folder-with-a-name-that-is-long-enough-for-the-kernel-to-refuse-it"] * depth)
    folder.mkdir(exist_ok=True)
    server = Roost(folder / "data", "--sandbox", "off").start()
    try:
        server.cli("model", "upload", models["python"], "--name", "sums")
        node = deploy(server, "sums", "sums")
        for package in (tritonclient.http, tritonclient.grpc):
            assert infer(server, node, "sums", package, rows("python"), "sum")[0][0] == 7
        metrics = "/metrics/nodes?node=sums"
        wait_for("its metrics", lambda: b"nv_inference_request_success{" in server.call("GET", metrics).body)
    finally:
        server.close()
