"""Metrics that containers tell of themselves: pulled, checked, labelled and shown on under /metrics/nodes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import SOCKET, inspect
from prometheus_client.parser import text_string_to_metric_families
from test_image_nodes import images, make

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    server = Roost(tmp_path_factory.mktemp("telemetry") / "data", "--engine", SOCKET).start()
    yield server
    server.close()


def shown(server: Roost, query: str = "") -> dict[tuple[str, str], float]:
    """Values by sample name and instance; the text must be one that a Prometheus reads."""
    answer = server.call("GET", f"/metrics/nodes{query}", token="")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)), "each family has one head"
    if tool := shutil.which("promtool"):
        done = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True)
        assert "error" not in done.stdout + done.stderr, done
    return {
        (sample.name, sample.labels["instance_id"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def condition(server: Roost, node: str) -> dict[str, Any]:
    return next((c for c in server.status(node)["conditions"] if c["type"] == "Telemetry"), {})


def test_what_each_instance_tells_is_shown_with_its_labels(server: Roost) -> None:
    server.cli(
        "node", "create", "told", "--image", "testapp:1", "--port", "8080", "--instances", "2", "--memory", "256MiB",
        "--health-check", "http:/health", "--telemetry", "/metrics", "--telemetry-interval", "1s", "--wait",
    )  # fmt: skip
    node = str(next(n["id"] for n in server.get("/v1/nodes")["nodes"] if n["name"] == "told"))
    ids = {i["id"] for i in server.instances(node)}
    assert images(server, node, "POST", "/metrics?name=app_depth&value=7").status == 200

    def depth() -> Any:
        return [value for (name, _), value in shown(server).items() if name == "app_depth"] == [7.0]

    wait_for("the gauge of one instance", depth)
    seen = shown(server)
    for name in ("app_requests_total", "process_resident_memory_bytes", "roost_scrape_up", "roost_scrape_samples"):
        assert {i for n, i in seen if n == name} == ids, name
    assert all(seen["roost_scrape_up", i] == 1 and seen["roost_scrape_left_out_samples", i] == 0 for i in ids)
    text = server.call("GET", "/metrics/nodes", token="").body.decode()
    assert f'app_depth{{node_id="{node}",node="told",instance_id="' in text
    assert shown(server, "?node=told") and not shown(server, "?node=other")
    found = condition(server, node)
    assert (found["status"], found["reason"]) == (True, "Pulled") and "samples of 2 instances" in found["message"]
    assert "GET /metrics of port 8080 every 1" in server.cli("node", "describe", "told").stdout
    server.cli("node", "update", "told", "--instances", "1", "--min", "1", "--max", "2", "--wait")
    wait_for("the other one is gone", lambda: len({i for _, i in shown(server)}) == 1)


@pytest.mark.parametrize(
    ("telemetry", "words"),
    [
        ({"path": "/nothing"}, "answered 404 instead of 200"),
        ({"path": "/metrics", "port": 9}, "Connection refused"),
        ({"path": "/slow?s=60"}, "no whole answer in 5 s"),
        ({"path": "/bytes?n=9000000"}, "more than 8388608 bytes"),
        ({"path": "/health"}, "not in the Prometheus text format: line 1: the value of ok is not a number"),
    ],
)
def test_what_can_not_be_pulled_is_told(server: Roost, telemetry: dict[str, Any], words: str) -> None:
    node = next((str(n["id"]) for n in server.get("/v1/nodes")["nodes"] if n["name"] == "mute"), "")
    node = node or make(server, "mute", telemetry={"path": "/metrics", "intervalSeconds": 1})
    container = inspect(server.instances(node)[0]["id"])["Id"]

    def change(asked: dict[str, Any]) -> None:
        body = {"telemetry": {"intervalSeconds": 1, **asked}}
        answer = server.call("PATCH", f"/v1/nodes/{node}?update_mask=telemetry", body)
        assert answer.status == 202, answer
        server.finished(answer.json["id"])

    change({"path": "/metrics"})
    wait_for("all is well", lambda: condition(server, node).get("reason") == "Pulled")
    change(telemetry)
    wait_for("the reason", lambda: words in condition(server, node)["message"])
    instance = server.instances(node)[0]["id"]
    assert condition(server, node)["reason"] == "Failing" and instance in condition(server, node)["message"]
    seen = shown(server)
    assert seen["roost_scrape_up", instance] == 0 and seen["roost_scrape_failures_total", instance] >= 1
    assert ("app_requests_total", instance) not in seen, "old values are not shown as new"
    assert server.status(node)["status"] == "HEALTHY", "telemetry does not decide over health"
    assert inspect(instance)["Id"] == container, "a change of telemetry makes no other container"
    change({"type": "none", "intervalSeconds": None})
    wait_for("nothing is pulled", lambda: not condition(server, node))
    assert not [i for _, i in shown(server) if i == instance]


def test_presets_say_where_metrics_are(server: Roost) -> None:
    def spec(**more: Any) -> Any:
        body = {"name": "shape", "kind": "image", **more}
        answer = server.call("POST", "/v1/nodes:validate", body)
        assert answer.status == 200, answer
        return answer.json["spec"]["image"].get("telemetry")

    assert spec(image={"reference": "a", "preset": "triton"})["port"] == 8002
    assert spec(image={"reference": "a", "preset": "fastapi", "port": 9000})["port"] == 9000
    assert spec(image={"reference": "a", "preset": "fastapi"}, telemetry={"type": "none"}) is None
    assert spec(image={"reference": "a", "preset": "sagemaker"}) is None
    for telemetry, field in [
        ({"path": "metrics"}, "telemetry.path"), ({"port": 0}, "telemetry.port"), ({"type": "statsd"}, "telemetry.type"),
        ({"intervalSeconds": 0.1}, "telemetry.intervalSeconds"), ({"type": "none", "path": "/"}, "telemetry"),
    ]:  # fmt: skip
        body = {"name": "shape", "kind": "image", "image": {"reference": "a", "port": 1}, "telemetry": telemetry}
        answer = server.call("POST", "/v1/nodes:validate", body)
        assert answer.status == 400 and answer.json["field"] == field, answer
