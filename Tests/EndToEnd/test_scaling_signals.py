"""Instances follow processor time and a gauge of the node's own; containers rest and wake; policies are tried on recordings."""

from __future__ import annotations

import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import engine
import pytest
from conftest import Answer, Roost, wait_for
from engine import SOCKET, containers
from test_image_nodes import images, make

needs_engine = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)
BUSY = "import time\nend = time.process_time() + spin\nwhile time.process_time() < end:\n    pass\nout = spin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    flags = ["--engine", SOCKET] if SOCKET else []
    server = Roost(tmp_path_factory.mktemp("signals") / "data", *flags).start()
    yield server
    server.close()


def starts(server: Roost, kind: str, phase: str) -> int:
    wanted = f'roost_cold_start_seconds_count{{kind="{kind}",phase="{phase}"}} '
    lines = server.call("GET", "/metrics", token="").body.decode().splitlines()
    return int(next(line for line in lines if line.startswith(wanted)).rpartition(" ")[2])


def test_a_cell_node_follows_its_processor_time_and_remembers_why(server: Roost) -> None:
    server.checkpoint("spin = 0.05", BUSY, name="spinner")
    node = server.node(
        "spinner", inputs=["spin:float"], outputs=["out:float"], instances={"min": 1, "max": 3},
        scaling={"cpuPercent": 10, "stableSeconds": 5, "leaveSeconds": 2},
    )  # fmt: skip
    server.healthy(node, 1)
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            assert server.execute(node, {"spin": 0.05}).status == 200

    caller = threading.Thread(target=call)
    caller.start()
    try:
        wait_for("three instances", lambda: len(server.instances(node)) == 3)
    finally:
        stop.set()
        caller.join(60)
    wait_for("one instance", lambda: len(server.instances(node)) == 1, 120)
    before = server.get(f"/v1/nodes/{node}/scaling")["events"]
    assert any("cores busy" in event["message"] for event in before), before
    assert starts(server, "cell", "create") >= 3 and starts(server, "cell", "healthy") >= 3
    server.kill()
    server.start()
    after = server.get(f"/v1/nodes/{node}/scaling")["events"]
    assert after[-len(before):] == before, "the journal outlives the service"


def test_a_policy_is_tried_on_a_recording(server: Roost, tmp_path: pathlib.Path) -> None:
    server.checkpoint("n = 0", "ok = True", name="still")
    node = server.node("still", inputs=[], outputs=["ok:bool"], instances={"min": 1, "max": 10})
    for _ in range(3):
        server.execute(node, {})
    counts = tmp_path / "counts.csv"
    counts.write_text("second,count\n" + "".join(f"{s},{5 if s < 30 else 60}\n" for s in range(60)))
    result = json.loads(server.cli("node", "scaling", "still", "--what-if", counts, "-o", "json").stdout)
    assert result["requests"] == 30 * 5 + 30 * 60 and result["unanswered"] == 0
    assert 6 <= result["peak"] <= 10 and result["changes"][0]["from"] == 1, result["changes"]
    assert result["counts"][-1] == 1 and result["p50WaitSeconds"] <= result["longestWaitSeconds"]
    fewer = json.loads(server.cli("node", "scaling", "still", "--what-if", counts, "--max", "2", "-o", "json").stdout)
    assert fewer["peak"] == 2 and fewer["longestWaitSeconds"] > result["longestWaitSeconds"]
    shown = server.cli("node", "scaling", "still", "--what-if", counts, "--service", "1ms").stdout
    assert "1950 in" in shown and "instance-seconds" in shown

    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"time": 0.5, "seconds": 0.2}\n\n{"time": 1.5, "seconds": 0.2}\n')
    assert json.loads(server.cli("node", "scaling", "still", "--what-if", lines, "-o", "json").stdout)["requests"] == 2
    access = server.data / "logs" / "access.jsonl"
    wait_for("the access log", lambda: access.read_text().count(node) >= 3)
    assert json.loads(server.cli("node", "scaling", "still", "--what-if", access, "-o", "json").stdout)["requests"] == 3
    for text, words in [
        ("1\nx\n", "line 2: 'x' is not TIME"), ("# nothing\n", "no request of node"), ("1,0.1\n2\n", "some do not"),
        ("second,count\n1\n", "line 2: the count"), ("99999\n", "six hours"), ('{"a": 1}\n', "line 1: has no time"),
    ]:  # fmt: skip
        lines.write_text(text)
        done = server.cli("node", "scaling", "still", "--what-if", lines, check=False)
        assert done.returncode != 0 and words in done.stderr, (text, done)
    answer = server.call("POST", f"/v1/nodes/{node}/scaling:whatIf", {"seconds": []})
    assert answer.status == 400 and answer.json["field"] == "seconds"


@needs_engine
def test_containers_follow_a_gauge_of_their_own(server: Roost) -> None:
    node = make(
        server, "gauged", telemetry={"path": "/metrics", "intervalSeconds": 1}, instances={"min": 1, "max": 3},
        scaling={"gauge": {"name": "app_depth", "target": 10}, "stableSeconds": 5, "leaveSeconds": 2},
    )  # fmt: skip
    assert images(server, node, "POST", "/metrics?name=app_depth&value=25").status == 200
    wait_for("three containers", lambda: len(containers(node)) == 3)
    events = server.get(f"/v1/nodes/{node}/scaling")["events"]
    assert events[0]["to"] == 3 and "by the node's gauge" in events[0]["message"], events
    server.healthy(node, 3)

    def low() -> bool:
        # Whichever instance is asked: the one that told 25 is among them.
        images(server, node, "POST", "/metrics?name=app_depth&value=1")
        lines = server.call("GET", "/metrics/nodes", token="").body.decode().splitlines()
        return not any(line.startswith("app_depth{") and line.endswith(" 25") for line in lines)

    wait_for("nobody tells 25", low)
    wait_for("one container", lambda: len(containers(node)) == 1, 120)


@needs_engine
def test_a_container_node_rests_and_the_first_request_wakes_it(server: Roost) -> None:
    node = make(server, "resting", instances={"min": 0, "max": 2}, scaling={"lastLeaveSeconds": 2, "leaveSeconds": 1})
    before = starts(server, "image", "answer")
    for times in range(2):
        wait_for("no container", lambda: containers(node) == [], 120)
        found = next(c for c in server.status(node)["conditions"] if c["type"] == "Ready")
        assert (server.status(node)["status"], found["reason"]) == ("HEALTHY", "Resting"), found
        answers: list[Answer] = []
        callers = [threading.Thread(target=lambda: answers.append(images(server, node, "GET", "/id"))) for _ in range(5)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
        assert [a.status for a in answers] == [200] * 5, answers
        wait_for("its cold start is told", lambda: starts(server, "image", "answer") == before + times + 1)
    for phase in ("create", "start", "healthy"):
        assert starts(server, "image", phase) >= 3, phase


def test_wrong_aims_are_named(server: Roost) -> None:
    def refused(**more: Any) -> Any:
        body = {"name": "shape", "kind": "image", "image": {"reference": "a", "port": 1}, "instances": {"max": 3}, **more}
        answer = server.call("POST", "/v1/nodes:validate", body)
        assert answer.status == 400, answer
        return answer.json["field"]

    assert refused(scaling={"gauge": {"name": "a", "target": 1}}) == "scaling.gauge"
    assert refused(scaling={"gauge": {"name": "a b", "target": 1}}, telemetry={}) == "scaling.gauge.name"
    assert refused(scaling={"gauge": {"name": "a", "target": 0}}, telemetry={}) == "scaling.gauge.target"
    assert refused(scaling={"cpuPercent": 0}) == "scaling.cpuPercent"
    done = server.cli("node", "create", "shape", "--image", "a", "--port", "1", "--scale-gauge", "a", check=False)
    assert done.returncode == 2 and "NAME=TARGET" in done.stderr
