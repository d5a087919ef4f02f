"""Models of every kind, served by Triton itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import numpy
import pytest

from .conftest import MAKERS, SAYINGS, TEXT_MAKERS, data

TRITON = os.environ.get("ROOST_TRITON") or str(Path(__file__).parents[3] / ".triton")
BROKEN = {
    "missing": ("import nosuchpackage\ndef predict(x): return x\n", "No module named 'nosuchpackage'"),
    "raises": (
        "def load(): raise RuntimeError('weights missing')\ndef predict(x): return x\n",
        "weights missing",
    ),
    "syntax": ("def predict(x) return x\n", "SyntaxError"),
}


class Server(NamedTuple):
    """A running server."""

    url: str
    grpc: str
    process: subprocess.Popen[bytes]
    canaries: Dict[str, Any]
    folder: Path


def free_ports(count: int) -> List[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def call(url: str, body: Any = None, headers: Any = None, method: str = "GET") -> Any:
    """Status and JSON of an answer."""
    sent = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, headers or {}, method="POST" if sent is not None else method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(content) if is_json and content else content
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def ended(what: Any, seconds: float = 120) -> None:
    """Waits for something to become true."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it took too long"
        threading.Event().wait(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Triton with a model of each kind, and broken ones."""
    folder = tmp_path_factory.mktemp("triton")
    models: List[Dict[str, Any]] = []
    for kind, make in MAKERS.items():
        place = folder / f"made-{kind}"
        place.mkdir()
        path = make(place)
        told = subprocess.run(
            [sys.executable, "-m", "roost.model", "inspect", str(path)], capture_output=True, check=True
        )
        models.append({**json.loads(told.stdout), "name": kind, "alias": f"id-{kind}", "file": str(path)})
        del models[-1]["sizeBytes"]
    for kind, make in TEXT_MAKERS.items():
        path = make(folder)
        told = subprocess.run(
            [sys.executable, "-m", "roost.model", "inspect", str(path)], capture_output=True, check=True
        )
        models.append({**json.loads(told.stdout), "name": f"text-{kind}", "file": str(path)})
        del models[-1]["sizeBytes"]
    labels = [{"name": "output__0", "datatype": "BYTES", "shape": [-1, 1]}]
    models.append({**models[-1], "name": "labels", "outputs": labels})
    side = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    for name, (source, _) in BROKEN.items():
        path = folder / f"{name}.py"
        path.write_text(source)
        models.append({"name": name, "kind": "python", "file": str(path), "inputs": side, "outputs": side})
    for version, factor in (("1", 2), ("20", 3)):
        path = folder / f"factor{factor}.py"
        path.write_text(f"def predict(x): return x * {factor}\n")
        # An input and an output of one name, and of two.
        for name, outputs in (("many", [{**side[0], "name": "y"}]), ("same", side)):
            models.append(
                {"name": name, "version": int(version), "alias": f"id-{name}-{version}", "kind": "python",
                 "file": str(path), "inputs": side, "outputs": outputs}
            )  # fmt: skip
    order = folder / "order.json"
    order.write_text(json.dumps({"folder": str(folder / "repository"), "models": models}))
    made = subprocess.run(
        [sys.executable, "-m", "roost.model", "repository", str(order)], capture_output=True, check=True
    )
    http, grpc, metrics = free_ports(3)
    names = sorted({name for model in models for name in (model["name"], model.get("alias")) if name})
    start = folder / "start.json"
    start.write_text(
        json.dumps(
            {"triton": TRITON, "repository": str(folder / "repository"), "folder": str(folder), "http": http, "grpc": grpc,
             "metrics": metrics, "models": names, "key": "k", "prefix": f"roosttest{os.getpid()}_"}
        )
    )  # fmt: skip
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "roost.model.tritonserver", str(start)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        server = Server(
            f"http://127.0.0.1:{http}/v2",
            f"127.0.0.1:{grpc}",
            process,
            json.loads(made.stdout)["models"],
            folder,
        )
        ended(lambda: process.poll() is not None or is_live(server))
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for name in os.listdir("/dev/shm"):
            if name.startswith(f"roosttest{os.getpid()}_"):
                os.unlink(f"/dev/shm/{name}")


def is_live(server: Server) -> bool:
    """The server answers."""
    try:
        return bool(call(f"{server.url}/health/live")[0] == 200)
    except OSError:
        return False


def rows_of(kind: str, count: int) -> Dict[str, Any]:
    """Inputs for a model of a kind."""
    if kind == "python":
        return {"a": numpy.ones((count, 2), "float32"), "b": numpy.full((count, 1), 5, "int64")}
    return {"x" if kind == "onnx" else "input__0": data()[0][:count]}


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_a_model_answers_as_its_own_package_does(server: Server, kind: str) -> None:
    from tritonclient import grpc, http

    from roost.model import predictors

    model = next(server.folder.glob(f"made-{kind}/m.*"))
    expected = predictors.checked(predictors.load(kind, str(model)), rows_of(kind, 3))
    for package, address in ((http, server.url[7:-3]), (grpc, server.grpc)):
        client = package.InferenceServerClient(address)
        for name in (kind, f"id-{kind}"):
            inputs = []
            for tensor, array in rows_of(kind, 3).items():
                datatype = "INT64" if array.dtype.kind == "i" else "FP32"
                inputs.append(package.InferInput(tensor, array.shape, datatype))
                inputs[-1].set_data_from_numpy(array)
            answer = client.infer(name, inputs)
            for output, array in expected.items():
                numpy.testing.assert_allclose(answer.as_numpy(output), array, rtol=1e-5)
        client.close()


TEXTS = ["", "plain", "żółw €", "\U0001f600", "line\nbreak\0 and nothing", "long " * 20_000]


def stock(server: Server, package: Any, model: str, **inputs: Any) -> Any:
    """What a stock client gets; arrays of objects are texts."""
    client = package.InferenceServerClient(server.url[7:-3] if "http" in package.__name__ else server.grpc)
    sent = []
    for name, array in inputs.items():
        sent.append(package.InferInput(name, array.shape, {"O": "BYTES", "i": "INT64"}[array.dtype.kind]))
        sent[-1].set_data_from_numpy(array)
    try:
        return client.infer(model, sent)
    finally:
        client.close()


def packages() -> List[Any]:
    """The stock clients."""
    from tritonclient import grpc, http

    return [http, grpc]


def column(texts: Any) -> Any:
    """One text a row."""
    return numpy.array(list(texts), dtype=object).reshape(-1, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("package", packages(), ids=["http", "grpc"])
def test_texts_come_in_and_go_out_as_they_are(server: Server, package: Any, count: int) -> None:
    given = numpy.array([[text, text[::-1]] for text in TEXTS[-count:]], dtype=object)
    repeats = numpy.arange(count, dtype="int64")[:, None]
    answer = stock(server, package, "text-python", t=given, n=repeats)
    assert answer.as_numpy("back").tolist() == [[b.encode(), a.encode()] for a, b in given.tolist()]
    joined = [f"{a}|{b}" * n for (a, b), n in zip(given.tolist(), range(count))]
    assert answer.as_numpy("joined").tolist() == [[text.encode()] for text in joined]
    assert answer.as_numpy("length").tolist() == [[len(text)] for text in joined]


@pytest.mark.parametrize("package", packages(), ids=["http", "grpc"])
def test_bytes_that_are_no_text_pass_too(server: Server, package: Any) -> None:
    given = numpy.array([[bytes(range(256)), b"\xff\0"]], dtype=object)
    answer = stock(server, package, "text-python", t=given, n=numpy.ones((1, 1), "int64"))
    assert answer.as_numpy("back").tolist() == [[b"\xff\0", bytes(range(256))]]
    # To onnxruntime and estimators BYTES are texts.
    for model, name in (("text-onnx", "x"), ("labels", "input__0")):
        with pytest.raises(Exception, match="can't decode byte 0xff"):
            stock(server, package, model, **{name: column([b"\xff"])})


def test_texts_of_requests_at_the_same_time_are_not_mixed(server: Server) -> None:
    package = packages()[0]
    wrong: List[Any] = []

    def ask(place: int) -> None:
        for turn in range(25):
            text = f"{place}-{turn}-é" * (place + 1)
            given = numpy.array([[text, ""]] * (turn % 3 + 1), dtype=object)
            answer = stock(server, package, "text-python", t=given, n=numpy.ones((len(given), 1), "int64"))
            if answer.as_numpy("back").tolist() != [[b"", text.encode()]] * len(given):
                wrong.append((text, answer.as_numpy("back")))

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("package", packages(), ids=["http", "grpc"])
def test_a_graph_of_texts_gets_texts(server: Server, package: Any) -> None:
    answer = stock(server, package, "text-onnx", x=column(TEXTS[:4]))
    assert answer.as_numpy("y").tolist() == [[text.encode()] for text in TEXTS[:4]]


@pytest.mark.parametrize("package", packages(), ids=["http", "grpc"])
def test_a_classifier_of_texts_gives_numbers_or_labels(server: Server, package: Any) -> None:
    said = [(text, label) for label, several in SAYINGS.items() for text in several]
    given = column(text for text, _ in said)
    labels = stock(server, package, "labels", input__0=given).as_numpy("output__0")
    assert labels.tolist() == [[label.encode()] for _, label in said]
    answer = stock(server, package, "text-sklearn", input__0=given)
    numbers = answer.as_numpy("output__0")
    assert [sorted(SAYINGS)[number] for (number,) in numbers] == [label for _, label in said]
    assert answer.as_numpy("probabilities").argmax(axis=1).tolist() == numbers[:, 0].tolist()


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_the_canary_of_a_signature_is_a_request_that_the_model_takes(server: Server, kind: str) -> None:
    canary = server.canaries[kind]
    body = (server.folder / "repository" / canary["file"]).read_bytes()
    headers = {"Inference-Header-Content-Length": str(canary["headerLength"])}
    status, _ = call(f"{server.url}/models/{kind}/infer", body, headers)
    assert status == 200


def test_requests_are_put_together_and_a_bad_one_fails_alone(server: Server) -> None:
    def request(a: float) -> Any:
        return {
            "inputs": [
                {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [a, a]},
                {"name": "b", "shape": [1, 1], "datatype": "INT64", "data": [1]},
            ]
        }

    outcomes: List[Any] = []
    lock = threading.Lock()

    def ask(place: int) -> None:
        for turn in range(20):
            a = -1.0 if (place, turn) == (3, 7) else float(place)
            status, answer = call(f"{server.url}/models/python/infer", request(a))
            with lock:
                outcomes.append((a, status, answer))

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, status, answer in outcomes:
        if a < 0:
            assert status == 500 and "a must not be negative" in answer["error"]
        else:
            assert status == 200 and answer["outputs"][0]["data"] == [2 * a + 1]
    stats = call(f"{server.url}/models/python/stats")[1]["model_stats"][0]
    assert stats["execution_count"] < stats["inference_count"]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_model_that_can_not_be_loaded_tells_why(server: Server, name: str) -> None:
    status, answer = call(f"{server.url}/repository/index", b"{}", {"roost-model-key": "k"})
    assert status == 200
    states = {model["name"]: model for model in answer}
    assert states[name]["state"] == "UNAVAILABLE"
    assert BROKEN[name][1] in states[name]["reason"]


def test_callers_can_not_change_what_is_served(server: Server) -> None:
    for path in ("repository/models/onnx/unload", "repository/index"):
        status, answer = call(f"{server.url}/{path}", b"{}")
        assert status in (400, 403) and "restricted" in answer["error"]


def test_a_wrong_shape_or_datatype_is_told_by_name(server: Server) -> None:
    for shape, datatype, problem in (([1, 3], "FP32", "unexpected shape"), ([1, 4], "INT64", "data-type")):
        tensor = {"name": "input__0", "shape": shape, "datatype": datatype, "data": [1] * shape[1]}
        status, answer = call(f"{server.url}/models/xgboost/infer", {"inputs": [tensor]})
        assert status == 400 and problem in answer["error"] and "input__0" in answer["error"]


@pytest.mark.parametrize("name", ["many", "same"])
def test_each_version_answers_and_the_highest_when_none_is_named(server: Server, name: str) -> None:
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    calls = {
        name: ("20", 3), f"{name}/versions/1": ("1", 2), f"{name}/versions/20": ("20", 3),
        f"id-{name}-1": ("1", 2), f"id-{name}-20": ("20", 3), f"id-{name}-20/versions/20": ("20", 3),
    }  # fmt: skip
    for path, (version, factor) in calls.items():
        status, answer = call(f"{server.url}/models/{path}/infer", body)
        assert (status, answer["model_version"]) == (200, version), answer
        assert answer["outputs"][0]["data"] == [factor, 2 * factor]
    for path in (f"{name}/versions/2", f"id-{name}-1/versions/20"):
        status, answer = call(f"{server.url}/models/{path}/infer", body)
        assert status == 404 and "is not found" in answer["error"]
    canary = server.canaries[name]
    body_of_zeros = (server.folder / "repository" / canary["file"]).read_bytes()
    headers = {"Inference-Header-Content-Length": str(canary["headerLength"])}
    for version in (1, 20):
        assert call(f"{server.url}/models/{name}/versions/{version}/ready")[0] == 200
        assert call(f"{server.url}/models/{name}/versions/{version}/infer", body_of_zeros, headers)[0] == 200
