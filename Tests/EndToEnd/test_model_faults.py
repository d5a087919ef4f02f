"""What callers of model nodes see when something dies or is wrong: processes, models, requests."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import pickle
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import tritonclient.grpc
import tritonclient.http
from conftest import Roost, wait_for
from test_model_nodes import deploy, headers, infer, make, processes, rows
from tritonclient.utils import InferenceServerException

SHAPES = ["--input", "x:FP32[-1,2]", "--output", "y:FP32[-1,2]"]
ONE_ROW = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 1, 1, 1]}]}


class Callers:
    """Threads that call a model all the time, each by a connection of its own, and keep what they were answered."""

    def __init__(self, roost: Roost, route: dict[str, str], model: str, body: Any, count: int = 6) -> None:
        self.roost = roost
        self.path = f"/v2/models/{model}/infer"
        self.headers = {"authorization": f"Bearer {roost.token}", **route}
        self.body = json.dumps(body)
        self.answers: list[tuple[float, int, Any]] = []
        """When each answer came, its status (0: none), and what it said."""
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.roost.port, timeout=60)
        while not self._ends.is_set():
            try:
                connection.request("POST", self.path, self.body, self.headers)
                answer = connection.getresponse()
                told: Any = json.loads(answer.read() or b"{}")
                self.answers.append((time.monotonic(), answer.status, told))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.answers.append((time.monotonic(), 0, repr(error)))
                connection.close()
        connection.close()

    def end(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive()

    def since(self, moment: float) -> list[tuple[int, Any]]:
        return [(status, told) for at, status, told in list(self.answers) if at >= moment]

    def go_well(self, count: int = 100) -> bool:
        """The last answers were all good."""
        last = self.answers[-count:]
        return len(last) == count and all(status == 200 for _, status, _ in last)


@pytest.fixture(scope="module")
def models(roost: Roost, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Two models that these tests call."""
    found = {"onnx": make.make_onnx(tmp_path_factory.mktemp("onnx")), "python": make.make_python(tmp_path_factory.mktemp("py"))}
    for kind, path in found.items():
        roost.cli("model", "upload", path, "--name", f"a-{kind}")
    return found


@pytest.fixture
def calling(roost: Roost) -> Iterator[Callable[..., Callers]]:
    """Callers that end with the test."""
    made: list[Callers] = []

    def start(route: dict[str, str], model: str, body: Any = ONE_ROW) -> Callers:
        made.append(Callers(roost, route, model, body))
        wait_for("callers are answered", made[-1].go_well)
        return made[-1]

    yield start
    for callers in made:
        callers.end()


def text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def counted(roost: Roost, node: str, code: int) -> int:
    """How often callers of a node got a status."""
    lines = roost.call("GET", "/metrics").body.decode().splitlines()
    of_node = [line for line in lines if line.startswith(f'node_http_codes{{node_id="{node}"') and f'code="{code}"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in of_node)


def test_a_model_process_killed_under_load_is_told_to_callers_healed_and_counted(
    roost: Roost, models: Any, calling: Callable[..., Callers]
) -> None:
    node = deploy(roost, "stubs", "a-onnx")
    pid = roost.instances(node)[0]["pid"]
    callers = calling({"x-node-id": node}, "a-onnx")
    killed = time.monotonic()
    os.kill(processes("triton_python_b", pid)[0], signal.SIGKILL)
    wait_for("its log tells", lambda: any("loaded anew" in line["message"] for line in roost.logs(node)))
    wait_for("callers are answered again", callers.go_well, 60)
    callers.end()
    bad = [(status, told) for status, told in callers.since(killed) if status != 200]
    told = [line["message"] for line in roost.logs(node)][-60:]
    if roost.instances(node)[0]["pid"] == pid:
        # Calls that the process had, and those that came before it was seen, are told at once; nobody is left waiting.
        assert all(status in (404, 500, 503) for status, _ in bad), (bad[:3], told)
    else:
        # It died with a lock that it shares with Triton: that ends Triton, with at most one call of each caller.
        assert any("lock_exception" in line for line in told), told
        assert sum(status == 502 for status, _ in bad) <= 6 and all(status in (404, 500, 502, 503) for status, _ in bad), bad
        error = roost.status(node)["lastError"]["message"]
        assert "Triton of instance" in error and "lock_exception" in error, error
    assert all("is not healthy" in str(told) for status, told in bad if status == 500), bad[:3]
    for code in {status for status, _ in bad} | {200}:
        assert counted(roost, node, code) == sum(status == code for _, status, _ in callers.answers)
    assert not any(status != 200 for at, status, _ in callers.answers if at < killed)
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_an_instance_whose_model_dies_again_and_again_is_replaced_before_triton_stands_still(
    roost: Roost, models: Any, calling: Callable[..., Callers]
) -> None:
    node = deploy(roost, "fragile", "a-onnx")
    first = roost.instances(node)[0]["pid"]
    callers = calling({"x-node-id": node}, "a-onnx")

    def replaced() -> bool:
        return all(instance.get("pid") not in (None, first) for instance in roost.instances(node))

    def running() -> set[int]:
        # Triton does not wait for those that have ended.
        return {pid for pid in processes("triton_python_b", first) if "State:\tZ" not in text(f"/proc/{pid}/status")}

    # Each death leaves some forty threads in Triton for a while, of 1,024 that the instance may have.
    for _ in range(40):
        before = running()
        if replaced() or not before:
            break
        killed = time.monotonic()
        for pid in before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for("another runs", lambda: replaced() or running() - before, 30)
        wait_for("it answers", lambda: len(callers.since(killed)) > 100 and callers.go_well(), 30)
    wait_for("it is replaced", replaced, 30)
    wait_for("callers are answered", callers.go_well, 30)
    callers.end()
    status = roost.status(node)
    error = status["lastError"]["message"]
    assert status["restarts"] == 1 and status["status"] == "HEALTHY", status
    assert "is replaced: model 'a-onnx' can't be loaded anew: Triton has" in error or "lock_exception" in error, error
    # Nobody was left waiting for longer than requests may wait in the queue.
    assert not [answer for answer in callers.answers if answer[1] in (0, 429)]
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_the_other_instance_serves_while_a_triton_killed_under_load_is_replaced(
    roost: Roost, models: Any, calling: Callable[..., Callers]
) -> None:
    node = deploy(roost, "two-tritons", "a-onnx", instances={"count": 2})
    before = {instance["pid"] for instance in roost.healthy(node, 2)}
    callers = calling({"x-node-id": node}, "a-onnx")
    killed = time.monotonic()
    gone = min(before)
    os.kill(processes("tritonserver", gone)[0], signal.SIGKILL)

    def replaced() -> bool:
        found = roost.instances(node)
        return len(found) == 2 and all(i["status"] == "HEALTHY" and i["pid"] != gone for i in found)

    wait_for("it is replaced", replaced, 90)
    wait_for("callers are answered", callers.go_well, 60)
    callers.end()
    after = callers.since(killed)
    bad = [(status, told) for status, told in after if status != 200]
    # Only calls that it had already taken are lost: at most one per caller, and each is told by a status.
    assert len(bad) <= 6 and all(status in (502, 503) for status, _ in bad), bad
    assert len(after) > 100
    status = roost.status(node)
    assert status["restarts"] >= 1 and "Triton" in status["lastError"]["message"], status
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_a_model_that_takes_long_for_an_answer_outlives_a_kill_of_the_server(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import time\ndef predict(x):\n    time.sleep(4)\n    return x + 1\n")
    roost.cli("model", "upload", path, "--name", "thorough", *SHAPES)
    node = deploy(roost, "thorough", "thorough")
    before = roost.instances(node)[0]
    roost.kill()
    roost.start()
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    answer = roost.call("POST", "/v2/models/thorough/infer", body, headers={"x-node-id": node})
    assert answer.json["outputs"][0]["data"] == [2, 3], answer
    after = roost.instances(node)[0]
    assert (after["id"], after["pid"]) == (before["id"], before["pid"]), "it is not loaded again"
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_a_model_that_stands_still_is_replaced_and_one_that_is_slow_is_not(roost: Roost, tmp_path: pathlib.Path) -> None:
    still, slow = tmp_path / "still.py", tmp_path / "slow.py"
    still.write_text("import threading\ndef predict(x):\n    if x.min() < 0: threading.Event().wait()\n    return x\n")
    slow.write_text("import time\ndef predict(x):\n    time.sleep(12)\n    return x\n")
    nodes, pids = {}, {}
    for path in (still, slow):
        roost.cli("model", "upload", path, "--name", path.stem, *SHAPES)
        nodes[path.stem] = deploy(roost, path.stem, path.stem, timeoutSeconds=3 if path is still else 60)
        pids[path.stem] = roost.instances(nodes[path.stem])[0]["pid"]

    def ask(model: str, number: float) -> Any:
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [number, number]}]}
        return roost.call("POST", f"/v2/models/{model}/infer", body, headers={"x-node-id": nodes[model]})

    assert ask("still", -1).status == 504
    assert ask("slow", 5).json["outputs"][0]["data"] == [5, 5]
    wait_for("it is replaced", lambda: roost.status("still")["restarts"] == 1, 100)
    error = roost.status("still")["lastError"]["message"]
    assert "model 'still' has answered nothing for 60 s; give a longer --timeout" in error, error
    wait_for("it answers", lambda: ask("still", 1).status == 200)
    # By now the slow one was looked at as long.
    assert roost.instances(nodes["slow"])[0]["pid"] == pids["slow"]
    assert "lastError" not in roost.status("slow")
    assert ask("slow", 6).json["outputs"][0]["data"] == [6, 6]
    for node in nodes.values():
        roost.call("DELETE", f"/v1/nodes/{node}")


BROKEN_SOURCES = {
    "raises": ("def load(): raise RuntimeError('the weights are missing')\ndef predict(x): return x\n", "the weights are missing"),
    "syntax": ("def predict(x) return x\n", "SyntaxError"),
    "exits": ("import os\ndef load(): os._exit(3)\ndef predict(x): return x\n", "is not healthy"),
    "fails-when-called": ("def predict(x): raise ValueError('no rows today')\n", "no rows today"),
    "other-type": ("def predict(x): return 'text'\n", "'y' of the model"),
    "other-outputs": ("def predict(x): return {'z': x}\n", "the model gives no 'y', only 'z'"),
    "more-memory": ("import numpy\nkept = numpy.ones(1 << 28)\ndef predict(x): return x\n", "memory"),
}


@pytest.mark.parametrize("name", sorted(BROKEN_SOURCES))
def test_a_broken_model_is_told_as_the_last_error_of_its_node(roost: Roost, tmp_path: pathlib.Path, name: str) -> None:
    source, told = BROKEN_SOURCES[name]
    path = tmp_path / "m.py"
    path.write_text(source)
    roost.cli("model", "upload", path, "--name", f"broken-{name}", "--kind", "python", *SHAPES)
    answer = roost.call(
        "POST", "/v1/nodes",
        {"name": f"broken-{name}", "kind": "model", "model": {"names": [f"broken-{name}"]}, "memoryBytes": 512 << 20},
    )  # fmt: skip
    operation = roost.finished(answer.json["id"], 120)
    try:
        assert told in operation["error"]["message"], operation
        assert told in roost.status(f"broken-{name}")["lastError"]["message"]
    finally:
        roost.call("DELETE", f"/v1/nodes/broken-{name}")


def test_a_model_that_never_ends_to_load_is_given_up_at_its_deadline(roost: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("import threading\ndef load(): threading.Event().wait()\ndef predict(x): return x\n")
    roost.cli("model", "upload", path, "--name", "endless", *SHAPES)
    began = time.monotonic()
    done = roost.cli("node", "create", "endless", "--model", "endless", "--load-timeout", "3s", "--wait", check=False)
    assert done.returncode != 0 and "was not loaded within 3.0 s; give --load-timeout" in done.stderr
    assert time.monotonic() - began < 60
    roost.call("DELETE", "/v1/nodes/endless")
    wait_for("nothing of it is left", lambda: not any(n["name"] == "endless" for n in roost.get("/v1/nodes")["nodes"]))


def test_files_that_are_no_such_model_are_refused_with_what_is_wrong(roost: Roost, models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    whole = models["onnx"].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(numpy.arange(1000))[:500])
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2, 3]))
    (tmp_path / "text").write_text("this is no model")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "json.json").write_text('{"learner": {"nothing": 1}}')
    for file, kind, told in (
        ("cut.onnx", "onnx", "no ONNX model"),
        ("cut.pkl", "sklearn", ""),
        ("list.pkl", "sklearn", "neither predict nor transform"),
        ("text", "", "does not tell what kind"),
        ("empty", "", "is empty"),
        ("json.json", "xgboost", ""),
        (str(models["onnx"]), "lightgbm", ""),
        (str(models["onnx"]), "catboost", ""),
        (str(models["python"]), "onnx", "no ONNX model"),
        (str(models["onnx"]), "nosuchkind", "nosuchkind"),
    ):
        words = ["--kind", kind] if kind else []
        refused = roost.cli("model", "upload", tmp_path / file, "--name", "never", *words, check=False)
        assert refused.returncode != 0 and told in refused.stderr and refused.stderr.strip(), (file, kind, refused)
        assert "Traceback" not in refused.stderr and len(refused.stderr) < 2000, refused.stderr
    assert not any(model["name"] == "never" for model in roost.get("/v1/models")["models"])


@pytest.fixture(scope="module")
def asked(roost: Roost, models: Any) -> str:
    """A node for wrong requests."""
    return deploy(roost, "asked", "a-onnx", "a-python")


@pytest.mark.parametrize("package", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
def test_wrong_requests_are_refused_by_name_and_the_next_one_is_served(roost: Roost, asked: str, package: Any) -> None:
    client = package.InferenceServerClient(f"127.0.0.1:{roost.port}")

    def refused(model: str, *inputs: tuple[str, Any, str], output: str = "y") -> str:
        sent = []
        for name, array, datatype in inputs:
            sent.append(package.InferInput(name, array.shape, datatype))
            sent[-1].set_data_from_numpy(array)
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, sent, outputs=[package.InferRequestedOutput(output)], headers=headers(roost, asked))
        return str(caught.value)

    good = rows("onnx")["x"]
    told = refused("a-onnx", ("x", good[:, :3].copy(), "FP32"))
    assert "unexpected shape for input 'x'" in told and "Expected [-1,4], got [3,3]" in told
    told = refused("a-onnx", ("x", good.astype("float64"), "FP64"))
    assert "data-type" in told and "FP64" in told and "FP32" in told
    assert "unexpected inference input 'nosuch'" in refused("a-onnx", ("nosuch", good, "FP32"))
    assert "'nosuch'" in refused("a-onnx", ("x", good, "FP32"), output="nosuch")
    assert "batch-size must be <= 64" in refused("a-onnx", ("x", numpy.ones((65, 4), "float32"), "FP32"))
    assert "nosuchmodel" in refused("nosuchmodel", ("x", good, "FP32"))
    a, b = rows("python")["a"], rows("python")["b"]
    assert "expected 2 inputs but got 1" in refused("a-python", ("a", a, "FP32"), output="sum")
    told = refused("a-python", ("a", -a, "FP32"), ("b", b, "INT64"), output="sum")
    assert "a must not be negative" in told
    told = refused("a-python", ("a", a, "FP32"), ("b", b[:2], "INT64"), output="sum")
    assert "batch" in told or "shape" in told
    client.close()
    numpy.testing.assert_allclose(infer(roost, asked, "a-onnx", package, {"x": good}, "y"), good * [1, 2, 3, 4])


def test_bodies_that_are_no_requests_are_refused_and_the_next_one_is_served(roost: Roost, asked: str) -> None:
    path = f"/nodes/{asked}/proxy/v2/models/a-onnx/infer"
    tensor = ONE_ROW["inputs"][0]
    for raw, headers_sent in (
        (b"{not json", {}),
        (b"", {}),
        (b"[]", {}),
        (json.dumps({"inputs": [{**tensor, "data": [1, 1, 1]}]}).encode(), {}),
        (json.dumps({"inputs": [{**tensor, "data": ["a", "b", "c", "d"]}]}).encode(), {}),
        (json.dumps({"inputs": [{**tensor, "shape": [1, -4]}]}).encode(), {}),
        (json.dumps({"inputs": [{**tensor, "shape": [1 << 40, 1 << 40]}]}).encode(), {}),
        (json.dumps({"inputs": [{"name": "x"}]}).encode(), {}),
        (b'{"inputs":[]}', {"inference-header-content-length": "99999"}),
        (b'{"inputs":[]}', {"inference-header-content-length": "-1"}),
        (b'{"inputs":[]}', {"inference-header-content-length": "text"}),
    ):
        answer = roost.call("POST", path, raw=raw, headers={"content-type": "application/json", **headers_sent})
        assert 400 <= answer.status <= 500 and answer.json["error"], (raw, answer)
        assert roost.call("POST", path, ONE_ROW).json["outputs"][0]["data"] == [1, 2, 3, 4]
    # Requests of models are handed on as they come: their size is Triton's affair.
    large = roost.call("POST", path, raw=json.dumps(ONE_ROW).encode() + b" " * (20 << 20))
    assert large.status == 200, large
    assert roost.status(asked)["restarts"] == 0


def test_curl_calls_a_model_by_its_node_and_its_alias_with_a_token(roost: Roost, asked: str) -> None:
    made = roost.call("POST", "/v1/aliases", {"name": "scores", "shares": [{"node": asked, "weight": 100}]})
    assert made.status < 300, made

    def curl(path: str, *more: str) -> tuple[int, Any]:
        done = subprocess.run(
            ["curl", "-sS", "-w", "\n%{http_code}", f"{roost.url}{path}", "-d", json.dumps(ONE_ROW), *more],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text)

    token = ["-H", f"Authorization: Bearer {roost.token}"]
    for path, route in (
        (f"/nodes/{asked}/proxy/v2/models/a-onnx/infer", []),
        ("/v2/models/a-onnx/infer", ["-H", f"x-node-id: {asked}"]),
        ("/v2/models/a-onnx/infer", ["-H", "x-node-alias: scores"]),
    ):
        status, answer = curl(path, *token, *route)
        assert status == 200 and answer["outputs"][0]["data"] == [1, 2, 3, 4], answer
        assert curl(path, *route)[0] == 401
        assert curl(path, "-H", "Authorization: Bearer nosuch", *route)[0] == 401
    roost.call("DELETE", f"/v1/aliases/{made.json['id']}")


def test_a_suspended_model_node_says_so_and_serves_again_when_it_is_resumed(roost: Roost, models: Any) -> None:
    node = deploy(roost, "resting", "a-onnx")
    pid = roost.instances(node)[0]["pid"]
    roost.call("POST", f"/v1/nodes/{node}:suspend")
    wait_for("no instance", lambda: not roost.instances(node))
    wait_for("its processes are gone", lambda: not pathlib.Path(f"/proc/{pid}").exists())
    answer = roost.call("POST", f"/nodes/{node}/proxy/v2/models/a-onnx/infer", ONE_ROW)
    assert answer.status == 503 and "suspended" in answer.body.decode(), answer
    with pytest.raises(InferenceServerException, match="suspended"):
        infer(roost, node, "a-onnx", tritonclient.grpc, rows("onnx"), "y")
    for _ in range(2):
        roost.call("POST", f"/v1/nodes/{node}:resume")
        roost.healthy(node, 1)
        for package in (tritonclient.http, tritonclient.grpc):
            assert infer(roost, node, "a-onnx", package, rows("onnx"), "y").shape == (3, 4)
        roost.call("POST", f"/v1/nodes/{node}:suspend")
        wait_for("no instance", lambda: not roost.instances(node))
    roost.call("DELETE", f"/v1/nodes/{node}")


def test_nothing_of_instances_is_left_in_shared_memory(roost: Roost, models: Any) -> None:
    node = deploy(roost, "tidy", "a-onnx", instances={"count": 2})
    ids = [instance["id"] for instance in roost.healthy(node, 2)]
    os.kill(roost.instances(node)[0]["pid"], signal.SIGKILL)
    wait_for("another one", lambda: [i for i in roost.instances(node) if i["id"] not in ids and i["status"] == "HEALTHY"], 90)
    ids += [instance["id"] for instance in roost.instances(node)]
    roost.call("DELETE", f"/v1/nodes/{node}")
    wait_for("the node is gone", lambda: not any(n["id"] == node for n in roost.get("/v1/nodes")["nodes"]))

    def left() -> list[str]:
        return [name for name in os.listdir("/dev/shm") if any(one[-17:] in name for one in ids)]

    wait_for("shared memory is free", lambda: not left())


def test_describe_says_what_holds_for_models_and_not_for_cells(roost: Roost, asked: str) -> None:
    told = roost.cli("node", "describe", "asked").stdout
    for words in ("rows in one call of a model", "wait for more rows", "none but to be called", "each model is asked by a request"):
        assert words in told, told
    assert "one interpreter state" not in told and "16 MiB" not in told and "while it takes connections" not in told
