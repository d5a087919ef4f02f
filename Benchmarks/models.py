"""What the gateway adds to Triton, Roost's model nodes against MLServer, and what instances of one large model cost in memory.

    .venv/bin/python Benchmarks/models.py [--seconds 1] [--rounds 9] [--connections 1 16 64] [--only overhead mlserver memory]

overhead: a node is called through the gateway, and a Triton with the same flags and the same model repository by a port of its own, in
turns; a model that does next to nothing, one row per request. Both Tritons are on the first core and wrk is on the second. The gateway is on the first, as
servers are in the other parts: the bar is for that. Then it is on the second, since the ratio is mostly a matter of who
shares a core with whom.
mlserver: the same file, the same rows, the same JSON of the Open Inference Protocol, all outputs. MLServer runs its models in one process with the
server (`parallel_workers` 0) or in one of their own (1, its default), with and without its batching: all forms are measured, the best one counts. Servers
have the first core, wrk the second.
memory: the proportional set size of 4 instances over one model of 500 MB, each having answered, against 4 MLServers.

Sides take turns, ratios are medians of those of the rounds. MLServer is installed into an environment of its own (.venv-pythons/mlserver): it
wants older packages than the tests do.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.metadata
import itertools
import json
import os
import pathlib
import pickle
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterable, Sequence
from typing import Any

import numpy
from common import (
    PYTHON,
    ROOT,
    SOURCES,
    BenchmarkError,
    Roost,
    awake,
    bar,
    end,
    kilobytes,
    machine,
    median,
    pinned,
    run,
    table,
    wait_for,
    wrk,
)
from onnx import TensorProto, helper, numpy_helper
from proxies.peers import free_port

PARTS = ("overhead", "mlserver", "memory")
FEATURES = 4
ROWS: dict[str, list[float]] = {"one": [5.1, 3.5, 1.4, 0.2]}
MLSERVER = ["mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop<0.22", "onnxruntime>=1.19"]
"""Its worker processes fail with newer uvloop: 'There is no current event loop'."""
MLSERVER_HOME = pathlib.Path(os.environ.get("ROOST_MLSERVER", ROOT / ".venv-pythons" / "mlserver"))
"""The forms in which MLServer is run: settings of the server, settings of the model."""
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as installed": ({}, {}),
    "in one process": ({"parallel_workers": 0}, {}),
    "in one process, batching": ({"parallel_workers": 0}, {"max_batch_size": 64, "max_batch_time": 0.001}),
}
ONNX_RUNTIME = '''
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Onnx(MLModel):
    """MLServer has no runtime for ONNX of its own: as short as its documentation shows a custom one."""

    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload):
        values = self.session.run(self.names, {i.name: NumpyCodec.decode_input(i) for i in payload.inputs})
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(self.names, values)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
'''
Figures = dict[str, float]


def make_models(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """A pipeline of scikit-learn, a small ONNX network, and a model that does next to nothing."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_iris()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data.data, data.target)
    (folder / "sklearn.pkl").write_bytes(pickle.dumps(pipeline))
    write_network(folder / "onnx.onnx", [FEATURES, 64, 64, 3])
    write_network(folder / "tiny.onnx", [FEATURES, 1])
    return {"sklearn": folder / "sklearn.pkl", "onnx": folder / "onnx.onnx", "tiny": folder / "tiny.onnx"}


def write_network(path: pathlib.Path, widths: Sequence[int]) -> None:
    """A network of layers of these widths, from `input__0` to `output__0`."""
    random = numpy.random.default_rng(3)
    weights, nodes, name = [], [], "input__0"
    for at, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        weight = random.standard_normal((wide, narrow), dtype="float32") / numpy.float32(wide**0.5)
        weights.append(numpy_helper.from_array(weight, f"w{at}"))
        last = at == len(widths) - 2
        nodes.append(helper.make_node("MatMul", [name, f"w{at}"], ["output__0" if last else f"m{at}"]))
        if not last:
            nodes.append(helper.make_node("Tanh", [f"m{at}"], [f"t{at}"]))
            name = f"t{at}"
    tensors = [
        helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["n", width])
        for tensor, width in (("input__0", widths[0]), ("output__0", widths[-1]))
    ]
    graph = helper.make_graph(nodes, "network", tensors[:1], tensors[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())


def request_of(rows: Sequence[Sequence[float]], outputs: Sequence[str] = ()) -> str:
    """An inference request in JSON; of outputs that are not named, all are given."""
    data = [number for row in rows for number in row]
    tensor = {"name": "input__0", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": data}
    asked: dict[str, Any] = {"inputs": [tensor]}
    if outputs:
        asked["outputs"] = [{"name": name} for name in outputs]
    return json.dumps(asked)


def below(pid: int) -> set[int]:
    """A process and all that it started, themselves or by others."""
    found, left = set(), [pid]
    while left:
        one = left.pop()
        found.add(one)
        with contextlib.suppress(OSError):
            for thread in pathlib.Path(f"/proc/{one}/task").iterdir():
                left += [int(text) for text in (thread / "children").read_text().split()]
    return found


class Side:
    """One server under load."""

    def __init__(self, name: str, url: str, body: str, token: str | None, pids: set[int]) -> None:
        self.name = name
        self.url = url
        self.body = body
        self.token = token
        self.pids = pids

    def answer(self) -> Any:
        """One request; it must succeed."""
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        asked = urllib.request.Request(self.url, self.body.encode(), headers)
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return json.load(answer)

    def load(self, connections: int, seconds: float, core: int) -> Figures:
        arguments = [self.body, *([self.token] if self.token else [])]
        return wrk(self.name, self.url, arguments, self.pids, connections, seconds, core)


def compare(
    title: str, sides: Sequence[Side], connections: int, options: argparse.Namespace, core: int
) -> dict[str, list[Figures]]:
    """The rounds of all sides, in turns; the table of their medians is printed."""
    rounds: dict[str, list[Figures]] = {side.name: [] for side in sides}
    for at in range(options.rounds):
        for side in sides if at % 2 == 0 else reversed(sides):
            rounds[side.name].append(side.load(connections, options.seconds, core))
    rows = []
    for name, runs in rounds.items():
        middle = {key: median(one[key] for one in runs) for key in runs[0]}
        rows.append([name, f"{middle['rate']:.0f}", f"{middle['p50']:.0f}", f"{middle['p99']:.0f}", f"{middle['cpu']:.1f}"])
    table(
        f"{title}, {connections} connections; {options.rounds} rounds of {options.seconds:g} s each",
        ["", "requests/s", "p50 µs", "p99 µs", "CPU µs/request"],
        rows,
    )
    return rounds


def ratio(rounds: dict[str, list[Figures]], over: str, under: str, key: str) -> float:
    """The median of the rounds' ratios of two sides."""
    return median(one[key] / other[key] for one, other in zip(rounds[over], rounds[under]))


def upload(roost: Roost, path: pathlib.Path, name: str) -> None:
    """Saves a model by the command line."""
    command = [str(ROOT / "bin" / "roost"), "model", "upload", str(path), "--name", name]
    ran = subprocess.run(command, env=roost.environment, capture_output=True, text=True, timeout=300)
    if ran.returncode:
        raise BenchmarkError(f"{' '.join(command)}: {ran.stderr}")


def deploy(roost: Roost, name: str, count: int = 1, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """A node of the model of the same name; its id and its instances."""
    body = {"name": name, "kind": "model", "model": {"names": [name]}, "instances": {"count": count}, **more}
    node = str(roost.done("POST", "/v1/nodes", body)["resourceId"])
    return node, roost.healthy(node, count, 300)


class Triton:
    """Triton by itself, on ports of its own, with what a release of a node serves."""

    def __init__(self, roost: Roost, node: str, model: str, core: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="roost-bench-")
        home = pathlib.Path(self.folder.name)
        release = roost.data / "models" / f"{node}-1"
        shutil.copytree(release / "repository", home / "repository", symlinks=True)
        for link in (home / "repository").rglob("*"):
            if link.is_symlink():  # where instances see the files of the release
                target = release / "files" / pathlib.Path(os.readlink(link)).name
                link.unlink()
                link.symlink_to(target)
        self.prefix = f"roostbench{os.getpid()}_"
        self.port, grpc, metrics = free_port(), free_port(), free_port()
        order = {
            "triton": os.environ.get("ROOST_TRITON", str(ROOT / ".triton")), "repository": str(home / "repository"),
            "folder": str(home), "http": self.port, "grpc": grpc, "metrics": metrics, "models": [model], "key": "bench",
            "prefix": self.prefix, "modelThreads": os.cpu_count(),
        }  # fmt: skip
        (home / "start.json").write_text(json.dumps(order))
        self.log = home / "output.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                pinned([str(PYTHON), "-m", "roost.model.tritonserver", str(home / "start.json")], core),
                stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(SOURCES)},
            )  # fmt: skip
        self.url = f"http://127.0.0.1:{self.port}/v2/models/{model}"

    def __enter__(self) -> Triton:
        try:
            wait_for("Triton has the model", self.is_ready, 120)
            return self
        except BaseException:
            print(self.log.read_text(errors="replace")[-3000:])
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        end(self.process)
        for left in pathlib.Path("/dev/shm").glob(f"{self.prefix}*"):
            left.unlink()
        self.folder.cleanup()

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise BenchmarkError(f"Triton ended:\n{self.log.read_text(errors='replace')[-3000:]}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


def through(roost: Roost, node: str, instance: dict[str, Any], model: str, body: str) -> Side:
    """The node through the gateway."""
    url = f"http://127.0.0.1:{roost.port}/nodes/{node}/proxy/v2/models/{model}/infer"
    return Side("gateway and Triton", url, body, roost.token, {roost.pid} | below(int(instance["pid"])))


def ask_instance(instance: dict[str, Any], model: str, body: str) -> None:
    """One request to an instance itself, by its unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=120)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(instance["address"].removeprefix("unix:"))
    try:
        connection.request("POST", f"/v2/models/{model}/infer", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise BenchmarkError(f"{instance['id']}: {answer.status} {answer.read()!r}")
    finally:
        connection.close()


def pin(pid: int, core: int) -> None:
    """All threads of a process to one core; what it started stays where it is."""
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


def overhead(options: argparse.Namespace, models: dict[str, pathlib.Path], cores: list[int]) -> None:
    """What the gateway adds to calls of a model that does next to nothing."""
    with awake(), contextlib.ExitStack() as stack:
        roost = stack.enter_context(Roost("--loops", "1", core=cores[0]))
        upload(roost, models["tiny"], "tiny")
        node, instances = deploy(roost, "tiny")  # on the first core, as what started it
        alone = stack.enter_context(Triton(roost, node, "tiny", cores[0]))
        body = request_of([ROWS["one"]])
        sides = [
            through(roost, node, instances[0], "tiny", body),
            Side("Triton alone", f"{alone.url}/infer", body, None, below(alone.process.pid)),
        ]
        if sides[0].answer()["outputs"] != sides[1].answer()["outputs"]:
            raise BenchmarkError("the gateway changes answers")
        for core, place in ((cores[0], "Triton's core"), (cores[1], "the load's core")):
            pin(roost.pid, core)
            for side in sides:
                side.load(16, 1, cores[1])  # both warm
            for connections in options.connections:
                title = f"Overhead of the gateway, which is on {place}"
                rounds = compare(title, sides, connections, options, cores[1])
                share = ratio(rounds, sides[0].name, sides[1].name, "cpu")
                added = median(
                    one["p50"] - other["p50"] for one, other in zip(rounds[sides[0].name], rounds[sides[1].name])
                )
                print(f"p50 added by the gateway: {added:.0f} µs; CPU per request {share:.2f}x")
                if connections > 1 and core == cores[0]:
                    bar(f"models, CPU per request at {connections} connections, of Triton's alone", share, 1.15, "x")


class MLServer:
    """One MLServer with a model, on one core if it is given."""

    def __init__(self, name: str, path: pathlib.Path, kind: str, form: str, core: int | None) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="roost-bench-")
        home = pathlib.Path(self.folder.name)
        server, model = FORMS[form]
        self.port = free_port()
        settings = {
            "http_port": self.port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1",
            "debug": False, **server,
        }  # fmt: skip
        (home / "settings.json").write_text(json.dumps(settings))
        implementation = {"sklearn": "mlserver_sklearn.SKLearnModel", "onnx": "onnx_runtime.Onnx"}[kind]
        (home / "onnx_runtime.py").write_text(ONNX_RUNTIME)
        (home / "model-settings.json").write_text(
            json.dumps({"name": name, "implementation": implementation, "parameters": {"uri": str(path)}, **model})
        )
        self.log = home / "output.log"
        python = MLSERVER_HOME / "bin" / "python"
        command = [str(python), "-c", "from mlserver.cli import main; main()", "start", str(home)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(home)}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                pinned(command, core), stdout=log, stderr=log, env=environment, cwd=home, start_new_session=True
            )

    def __enter__(self) -> MLServer:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise BenchmarkError(f"MLServer ended:\n{self.log.read_text()[-3000:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/health/ready", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        try:
            wait_for("MLServer is ready", ready, 120, 0.1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        started = below(self.process.pid)
        end(self.process)
        for pid in started:
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        self.folder.cleanup()


def install_mlserver() -> None:
    """Into an environment of its own, once."""
    python = MLSERVER_HOME / "bin" / "python"
    if python.exists() and subprocess.run([python, "-c", "import mlserver_sklearn, onnxruntime, uvloop; assert uvloop.__version__ < '0.22'"], capture_output=True).returncode == 0:
        return
    # The pickle is loaded by the version that wrote it.
    wanted = [*MLSERVER, f"scikit-learn=={importlib.metadata.version('scikit-learn')}"]
    print(f"models: installing {', '.join(wanted)} into {MLSERVER_HOME}", flush=True)
    subprocess.run(["python3", "-m", "venv", MLSERVER_HOME], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted], check=True)


def mlserver(options: argparse.Namespace, models: dict[str, pathlib.Path], cores: list[int]) -> None:
    """The same models by MLServer and by a node, at 16 connections."""
    install_mlserver()
    for kind in ("sklearn", "onnx"):
        with awake(), contextlib.ExitStack() as stack:
            roost = stack.enter_context(Roost("--loops", "1", core=cores[0]))
            upload(roost, models[kind], kind)
            node, instances = deploy(roost, kind)
            outputs = {"sklearn": ["predict", "predict_proba"], "onnx": []}[kind]
            sides = [through(roost, node, instances[0], kind, request_of([ROWS["one"]]))]
            for form in FORMS:
                server = stack.enter_context(MLServer(kind, models[kind], kind, form, cores[0]))
                body = request_of([ROWS["one"]], outputs)
                url = f"http://127.0.0.1:{server.port}/v2/models/{kind}/infer"
                sides.append(Side(f"MLServer, {form}", url, body, None, below(server.process.pid)))
            answers = [sorted(numpy.ravel(o["data"]).tolist() for o in side.answer()["outputs"]) for side in sides]
            if any(not numpy.allclose(numpy.concatenate(answers[0]), numpy.concatenate(a), rtol=1e-4) for a in answers):
                raise BenchmarkError(f"{kind}: the answers differ: {answers}")
            for side in sides:
                side.load(16, 1, cores[1])
            rounds = compare(f"The same {kind} model", sides, 16, options, cores[1])
            best = max((side.name for side in sides[1:]), key=lambda name: median(one["rate"] for one in rounds[name]))
            more = ratio(rounds, sides[0].name, best, "rate")
            print(f"CPU per request: {ratio(rounds, best, sides[0].name, 'cpu'):.1f} times less than {best}")
            bar(f"models, {kind} at 16 connections, requests/s of MLServer's best", more, 2, "x", at_least=True)


def neighbours(folder: pathlib.Path, megabytes: int) -> pathlib.Path:
    """Nearest neighbours among rows of this size, as joblib writes them."""
    import joblib
    from sklearn.neighbors import KNeighborsRegressor

    path = folder / "neighbours.joblib"
    rows = numpy.random.default_rng(0).random((megabytes * 2000, 125), dtype="float32")
    joblib.dump(KNeighborsRegressor(3, algorithm="brute").fit(rows, rows[:, 0].copy()), path)
    # Pages that wait to be written count as private.
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return path


def megabytes_of(pids: Iterable[int]) -> float:
    """What processes take of the machine's memory; shared pages count in part for each."""
    return sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in pids) / 1000


def memory(options: argparse.Namespace, models: dict[str, pathlib.Path], cores: list[int]) -> None:
    """Four instances of a node, and four servers, over one large model; each has answered."""
    install_mlserver()
    path = neighbours(models["tiny"].parent, options.megabytes)
    body = request_of([[0.5] * 125])
    rows: list[list[str]] = []
    sizes: dict[str, float] = {}

    def measured(name: str, servers: Sequence[set[int]]) -> None:
        each = [megabytes_of(pids) for pids in servers]
        sizes[name] = sum(each)
        rows.append([name, f"{sum(each):.0f}", f"{min(each):.0f}", f"{max(each):.0f}"])

    with Roost() as roost:
        upload(roost, path, "neighbours")
        for count in (1, 4):
            node, instances = deploy(roost, "neighbours", count, memoryBytes=4 << 30)
            for one in instances:
                ask_instance(one, "neighbours", body)
            measured(f"node, {count} instance{'s' * (count > 1)}", [below(int(one["pid"])) for one in instances])
            roost.done("DELETE", f"/v1/nodes/{node}")
            wait_for("the node is gone", lambda: not roost.get("/v1/nodes")["nodes"])
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(4):
            server = stack.enter_context(MLServer("neighbours", path, "sklearn", "in one process", None))
            url = f"http://127.0.0.1:{server.port}/v2/models/neighbours/infer"
            Side("MLServer", url, body, None, set()).answer()
            servers.append(below(server.process.pid))
            if len(servers) in (1, 4):
                measured(f"MLServer in one process, {len(servers)}", servers)
    table(f"A model of {options.megabytes} MB", ["", "PSS MB", "least of one", "most of one"], rows)
    share = sizes["node, 4 instances"] / sizes["MLServer in one process, 4"]
    bar("models, PSS of 4 instances of a large model, of that of 4 MLServers", share, 0.5, "x")


def main() -> None:
    parser = argparse.ArgumentParser(description="model nodes against Triton alone and MLServer")
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--megabytes", type=int, default=500)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchmarkError("two cores are needed: one for the servers, one for wrk")
    print(machine())
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as name:
        models = make_models(pathlib.Path(name))
        for part in options.only:
            {"overhead": overhead, "mlserver": mlserver, "memory": memory}[part](options, models, cores)


if __name__ == "__main__":
    run(main)
