"""The example request of a node: made of the notebook's values, kept with the node, shown, and run before callers' requests."""

from __future__ import annotations

import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import BINARY, Roost

COUNTER = "count += step\nprint('counted', count)\nout = count"


@pytest.fixture(scope="module")
def counter(roost: Roost) -> str:
    """The name of a checkpoint whose cell counts its requests; its own run in the notebook was the first."""
    roost.checkpoint("count = 0\nstep = 1", COUNTER, name="counter")
    return "counter"


def condition(roost: Roost, node: str) -> dict[str, Any]:
    found = [one for one in roost.status(node)["conditions"] if one["type"] == "WarmUp"]
    return dict(found[0]) if found else {}


def warm_lines(roost: Roost, node: str) -> list[str]:
    return [line["message"] for line in roost.logs(node) if line.get("requestId") == "warm-up"]


def requests_counted(roost: Roost, node: str) -> list[str]:
    metrics = roost.call("GET", "/metrics").body.decode()
    return [line for line in metrics.splitlines() if line.startswith("node_requests{") and node in line]


def test_the_example_is_made_of_the_notebooks_values_and_calls_the_node(roost: Roost) -> None:
    roost.checkpoint(
        "import numpy as np, pandas as pd, datetime\n"
        "features = np.array([[0.5, 1.5]], 'float32')\nframe = pd.DataFrame({'city': ['Riga'], 'age': [7]})\n"
        "options = {'deep': [1, {'x': None}]}\nwhen = datetime.datetime(2026, 1, 2, 3)\nblob = b'\\x00\\x01'\n"
        "class Own: pass\nown = Own()\nown.x = 1\nlong = list(range(100_000))\n"
        "def width(): return len(long) if isinstance(long, list) else 0",
        "out = {'rows': len(frame), 'deep': options['deep'], 'year': when.year, 'bytes': len(blob),\n"
        "       'own': type(own).__name__, 'sum': float(features.sum()), 'long': width()}",
        name="values",
    )
    node = roost.node(
        "values",
        inputs=[
            "features:numpy.ndarray", "frame:pandas.DataFrame", "options:dict", "when:datetime", "blob:bytes", "own:dict", "long:list",
        ],
        outputs=["out:dict"],
    )  # fmt: skip
    example = json.loads(roost.cli("node", "api", "values", "--example").stdout)
    assert example == {
        "features": [[0.5, 1.5]], "frame": [{"city": "Riga", "age": 7}], "options": {"deep": [1, {"x": None}]},
        "when": "2026-01-02T03:00:00", "blob": "AAE=",
        "own": {},  # not to be shown: made of its type
        "long": list(range(20)),
    }  # fmt: skip
    assert json.loads(roost.get(f"/v1/nodes/{node}")["example"]) == example
    content = roost.get(f"/nodes/{node}/openapi.json")["paths"][f"/datasphere/v1/nodes/{node}:execute"]["post"]["requestBody"]
    assert content["content"]["application/json"]["example"] == {"folder_id": roost.folder, "input": example}
    assert json.dumps(example, separators=(",", ":")) in roost.cli("node", "describe", "values").stdout
    answer = json.loads(roost.cli("node", "call", "values", "--input", json.dumps(example)).stdout)
    assert answer["out"] == {"rows": 1, "deep": [1, {"x": None}], "year": 2026, "bytes": 2, "own": "dict", "sum": 2.0, "long": 20}
    assert condition(roost, node)["reason"] == "Done", roost.status(node)


def test_a_warm_up_changes_no_state_and_is_no_request_of_a_caller(roost: Roost, counter: str) -> None:
    node = roost.node("counts", checkpoint=counter, inputs=["step:int"], outputs=["out:int"], instances={"count": 2})
    warm = condition(roost, node)
    assert warm["status"] and warm["reason"] == "Done" and "ran in" in warm["message"], warm
    assert warm_lines(roost, node) == ["counted 2"]
    assert requests_counted(roost, node) == []
    assert roost.execute(node, {"step": 1}).json == {"output": {"out": 2}}  # not 3
    assert len(warm_lines(roost, node)) == 1
    text = roost.cli("node", "logs", "counts", "--request", "warm-up").stdout
    assert "counted 2" in text


def test_in_the_instances_themselves_when_asked_and_not_at_all_when_off(roost: Roost, counter: str) -> None:
    variables: dict[str, Any] = {"checkpoint": counter, "inputs": ["step:int"], "outputs": ["out:int"]}
    roost.cli(
        "node", "create", "in-place", "--checkpoint", counter, "--input", "step:int", "--output", "out:int",
        "--warm-up", "instance", "--wait",
    )  # fmt: skip
    node = next(one["id"] for one in roost.get("/v1/nodes")["nodes"] if one["name"] == "in-place")
    assert roost.execute(node, {"step": 1}).json == {"output": {"out": 3}}
    assert warm_lines(roost, node)[0] == "counted 2"  # the copy; the instance prints the same and says how it went
    assert any(line.startswith("warm-up: the example request ran") for line in warm_lines(roost, node))
    off = roost.node("no-warm-up", **variables, warmUp="off")
    assert condition(roost, off) == {} and warm_lines(roost, off) == []
    assert roost.execute(off, {"step": 1}).json == {"output": {"out": 2}}
    outside = roost.node("outside", **variables, subnet="host")
    assert roost.get(f"/v1/nodes/{outside}")["spec"]["cell"]["warmUp"] == "off" and warm_lines(roost, outside) == []
    body = {"name": "both", "checkpoint": counter, "inputs": [{"name": "step", "type": "int"}], "outputs": [{"name": "out", "type": "int"}]}
    refused = roost.call("POST", "/v1/nodes", {**body, "isolation": "request", "warmUp": "instance"})
    assert refused.status == 400 and refused.json["field"] == "warmUp" and "use fork or off" in refused.json["detail"]
    refused = roost.call("POST", "/v1/nodes", {**body, "warmUp": "yes"})
    assert refused.status == 400 and "fork, instance, off" in refused.json["detail"]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("raises", "raise ValueError('not twice')", "ValueError: not twice"),
        ("exits", "import os; os._exit(4)", "ended with exit code 4"),
        ("hangs", "while True: pass", "did not end within 0.5 s"),
        ("hogs", "hog = bytearray(900_000_000)", ""),
    ],
)
def test_an_example_that_fails_is_a_condition_and_the_node_serves(roost: Roost, name: str, code: str, words: str) -> None:
    roost.checkpoint("count = 0\nfine = True", f"count += 1\nif fine and count > 1:\n    {code}\nout = count", name=name)
    node = roost.node(name, inputs=["fine:bool"], outputs=["out:int"], timeoutSeconds=0.5, memoryBytes=500_000_000)
    found = condition(roost, node)
    assert not found["status"] and found["reason"] == "Failed" and words in found["message"], found
    assert "instances take requests all the same" in found["message"]
    assert roost.status(node)["status"] == "HEALTHY" and roost.status(node)["restarts"] == 0
    assert roost.execute(node, {"fine": False}).json == {"output": {"out": 2}}


def test_the_example_survives_a_restart_and_the_checkpoints_change_of_name(
    make_server: Callable[..., Roost], tmp_path: pathlib.Path
) -> None:
    roost = make_server()
    roost.checkpoint("x = [1.5, 2]", "out = sum(x)", name="kept")
    node = roost.node("kept", inputs=["x:list"], outputs=["out:float"])
    before = roost.get(f"/v1/nodes/{node}")
    assert json.loads(before["example"]) == {"x": [1.5, 2]}
    roost.kill()
    roost.start()
    after = roost.get(f"/v1/nodes/{node}")
    assert after["example"] == before["example"]
    roost.healthy(node, 1)
    assert condition(roost, node)["reason"] == "Done"  # the adopted zygote still knows
    assert len(warm_lines(roost, node)) == 0  # nothing was printed
    piped = subprocess.run(
        f"{BINARY} node api kept --example | {BINARY} node call kept --input -", shell=True, env=roost.environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert json.loads(piped.stdout) == {"out": 3.5}, piped


def test_the_curl_line_of_a_long_example_lets_the_shell_make_it(roost: Roost) -> None:
    roost.checkpoint("x = list(range(1000))", "out = sum(x)", name="long")
    roost.node("long", inputs=["x:list"], outputs=["out:int"])
    text = roost.cli("node", "describe", "long").stdout
    line = text[text.index("Call it:") + len("Call it:") :].strip()
    assert len(line) < 600 and "roost node api long --example" in line
    environment = {**roost.environment, "PATH": f"{BINARY.parent}:{roost.environment['PATH']}"}
    called = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True, timeout=60)
    assert json.loads(called.stdout) == {"output": {"out": 499500}}, called
