"""Each example does what its README says, through the real kernel, the real server and the real command line."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator

import engine
import pytest
from conftest import ROOT, Roost
from PIL import Image

EXAMPLES = {
    "features": lambda output: output["summary"] and output["table"],
    "async-cell": lambda output: output["lengths"] == [3, 5],
    "counter": lambda output: output["visits"] >= 1,
    "classifier": lambda output: output["label"] and abs(sum(output["probabilities"]) - 1) < 1e-6,
    "randomizer": lambda output: 1 <= output["output_data"]["generated_value"] <= 10,
}


def commands(readme: str) -> list[list[str]]:
    """The `roost` commands of a README's shell blocks."""
    text = "\n".join(re.findall(r"```(?:sh)?\n(.*?)```", readme, re.S)).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("roost ")]
    return [line[1:] for line in lines]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_as_its_readme_says(roost: Roost, name: str) -> None:
    ran = commands((ROOT / "examples" / name / "README.md").read_text())
    checkpoint = ""
    answers = []
    for words in ran:
        words = [str(ROOT / word) if word.endswith(".ipynb") else word for word in words]
        if words[:2] in (["node", "logs"], ["node", "delete"]):
            continue
        words = [checkpoint if word == "CHECKPOINT_ID" else word for word in words]
        done = roost.cli(*words)
        if words[:2] == ["checkpoint", "list"]:
            checkpoint = json.loads(roost.cli("checkpoint", "list", "-o", "json").stdout)["checkpoints"][0]["id"]
        if words[:2] == ["node", "call"]:
            answers.append(json.loads(done.stdout))
    assert answers and all(EXAMPLES[name](answer) for answer in answers), answers


def test_blue_and_green_work_as_their_readme_says(roost: Roost) -> None:
    answers = []
    checkpoint = ""
    for words in commands((ROOT / "examples" / "blue-green" / "README.md").read_text()):
        words = [str(ROOT / word) if word.endswith(".ipynb") else word for word in words]
        done = roost.cli(*[checkpoint if word == "CHECKPOINT_ID" else word for word in words])
        if words[:2] == ["checkpoint", "list"]:
            checkpoint = json.loads(roost.cli("checkpoint", "list", "-o", "json").stdout)["checkpoints"][0]["id"]
        if words[:2] == ["alias", "call"]:
            answers.append(json.loads(done.stdout))
    assert answers == [
        {"price": 215.0, "model": "blue"},
        {"price": 215.0, "model": "blue"},
        {"price": 237.0, "model": "green"},
    ]
    assert [share["nodeName"] for share in roost.get("/v1/aliases/price")["shares"]] == ["green"]


def test_a_ramp_works_word_for_word(tmp_path: pathlib.Path, make_server: Callable[..., Roost]) -> None:
    server = make_server()
    readme = (ROOT / "examples" / "ramp" / "README.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.S))
    path = os.pathsep.join([str(ROOT / "bin"), os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env={**server.environment, "PATH": path}, text=True, timeout=300,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    at = 0
    for words in [
        "alias homes is published", "ended ROLLED_BACK: errors: ", "STARTED", "ROLLED_BACK", "first", "answered:", "failed with ",
        "COMPLETED", '"model":"second"', "answered: first ", "second ", "Delete node first: done",
    ]:  # fmt: skip
        found = done.stdout.find(words, at)
        assert found >= 0, f"'{words}' is not where it should be in:\n{done.stdout}"
        at = found + len(words)
    assert server.get("/v1/nodes")["nodes"] == []


def test_style_transfer_works_word_for_word(tmp_path: pathlib.Path, make_server: Callable[..., Roost]) -> None:
    server = make_server()
    readme = (ROOT / "examples" / "style-transfer" / "README.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.S)).replace("styled.png", f"{tmp_path}/styled.png", 1)
    path = os.pathsep.join([str(ROOT / "bin"), os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env={**server.environment, "PATH": path}, text=True, timeout=300,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    at = 0
    for words in [
        "Inputs:    input1:FP32[1,3,224,224]", "node style is HEALTHY", "answered a request made from the signature", "TYPE_FP32",
        "224 x 224, mean colour", "Delete node style: done",
    ]:  # fmt: skip
        found = done.stdout.find(words, at)
        assert found >= 0, f"'{words}' is not where it should be in:\n{done.stdout}"
        at = found + len(words)
    with Image.open(tmp_path / "styled.png") as picture:
        assert picture.size == (224, 224)
        # The sky was blue; what is learned is warm: more red than blue, and no edge inside of it.
        sky = [picture.getpixel((x, y)) for x, y in ((10, 10), (60, 60), (100, 20))]
    assert len(set(sky)) == 1 and sky[0][0] > sky[0][1] > sky[0][2], sky
    assert server.get("/v1/nodes")["nodes"] == [] and server.get("/v1/models")["models"] == []


REFUSED = {
    "overwritten-input": (["request:dict"], ["answer:dict"], "line 1"),
    "unsaved-variable": (["key:int"], ["row:list"], "settings['stores'][0]['connection']"),
    "shell-command": (["folder:str"], ["listing:list"], "!echo"),
    "unknown-name": (["value:int"], ["result:int"], "factor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_example_is_refused_with_its_reason(roost: Roost, name: str) -> None:
    inputs, outputs, reason = REFUSED[name]
    roost.cli("notebook", "run", ROOT / f"examples/refused/{name}.ipynb")
    newest = json.loads(roost.cli("checkpoint", "list", "-o", "json").stdout)["checkpoints"][0]
    roost.cli("checkpoint", "pin", newest["id"], "--name", name)
    flags = [word for variable in inputs for word in ("--input", variable)]
    flags += [word for variable in outputs for word in ("--output", variable)]
    done = roost.cli("node", "create", name, "--checkpoint", name, *flags, check=False)
    assert done.returncode == 1
    assert reason in done.stderr, done.stderr


@pytest.fixture(scope="module")
def with_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    server = Roost(tmp_path_factory.mktemp("examples") / "data", "--engine", engine.SOCKET).start()
    yield server
    server.close()


# What the README's commands print, in order.
IMAGES = {
    "http-service": [
        "node fastapi is HEALTHY: 2 of 2", '{"path":"/urls","name":"urls"}', '"message":"Hello from Roost"', "http_requests_total{",
        '"GET /metrics HTTP/1.1" 200 OK', "INSTANCE", "HEALTHY", "Delete node fastapi: done",
    ],
    "grpc-echo": [
        "node echo is HEALTHY: 1 of 1", "Is anybody there?", "echo_calls_total{", "echo.v1.Echo serves", "Delete node echo: done",
    ],
    "model-server": [
        "node models is HEALTHY: 1 of 1", "['measurements']", "setosa 0.98", "virginica", "unexpected shape for input 'measurements': expected [-1,4]",
        "[2.5, 3.0, 3.5]", "nv_inference_request_success{", "POST /v2/models/half-plus-two/infer", "Delete node models: done",
        "Login Succeeded", "node models is HEALTHY: 1 of 1", "/team/model-server@sha256:", "setosa 0.98", "Delete node models: done",
    ],
}  # fmt: skip


@pytest.mark.skipif(not engine.SOCKET, reason=engine.MISSING)
@pytest.mark.parametrize("name", IMAGES)
def test_an_example_of_an_image_works_word_for_word(with_engine: Roost, tmp_path: pathlib.Path, name: str) -> None:
    readme = (ROOT / "examples" / name / "README.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", readme, re.S))
    path = os.pathsep.join([str(ROOT / "bin"), os.path.dirname(sys.executable), os.environ["PATH"]])
    (tmp_path / "key").write_text(engine.PASSWORD)
    environment = {
        **with_engine.environment, "DOCKER_HOST": f"unix://{engine.SOCKET}", "PATH": path, "DOCKER_CONFIG": str(tmp_path),
        "REGISTRY": engine.REGISTRY, "KEY": str(tmp_path / "key"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, text=True, timeout=600,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    at = 0
    for words in IMAGES[name]:
        found = done.stdout.find(words, at)
        assert found >= 0, f"'{words}' is not where it should be in:\n{done.stdout}"
        at = found + len(words)
    assert with_engine.get("/v1/nodes")["nodes"] == []
    engine.ask("DELETE", f"/images/{name}:1?force=1")
