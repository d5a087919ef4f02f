"""Instances follow the load: more under load, fewer after it, none when nobody calls, and the first request wakes the node."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from conftest import Answer, Roost, wait_for

SLOW = "import time\ntime.sleep(pause)\nout = pause"


@pytest.fixture(scope="module")
def slow(roost: Roost) -> str:
    roost.checkpoint("pause = 0.05", SLOW, name="slow")
    return "slow"


def node(roost: Roost, name: str, least: int, most: int, **scaling: Any) -> str:
    return roost.node(
        name, checkpoint="slow", inputs=["pause:float"], outputs=["out:float"],
        instances={"min": least, "max": most}, scaling={"leaveSeconds": 2, **scaling},
    )  # fmt: skip


def scaling(roost: Roost, one: str) -> dict[str, Any]:
    return dict(roost.get(f"/v1/nodes/{one}/scaling"))


class Callers:
    """Threads that call one after the other until they are told to stop."""

    def __init__(self, roost: Roost, one: str, count: int) -> None:
        self.answers: list[Answer] = []
        self._stop = threading.Event()

        def call() -> None:
            while not self._stop.is_set():
                self.answers.append(roost.execute(one, {"pause": 0.05}))

        self._threads = [threading.Thread(target=call) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        wrong = [answer for answer in self.answers if answer.status != 200]
        assert self.answers and not wrong, wrong[:3]


def test_instances_come_with_the_load_and_leave_after_it(roost: Roost, slow: str) -> None:
    one = node(roost, "busy-node", 1, 6, stableSeconds=5)
    roost.healthy(one, 1)
    callers = Callers(roost, one, 8)
    wait_for("six instances", lambda: roost.status(one)["healthyInstances"] == 6)
    callers.end()
    wait_for("one instance", lambda: len(roost.instances(one)) == 1)
    seen = scaling(roost, one)
    assert seen["automatic"] and (seen["minimum"], seen["maximum"], seen["count"]) == (1, 6, 1)
    events = seen["events"]
    assert events[-1]["from"] == 1 and max(event["to"] for event in events) == 6 and events[0]["to"] == 1
    assert all(one["to"] == two["from"] for two, one in zip(events, events[1:]))
    assert any("requests at a time over the last" in event["message"] for event in events)
    notes = [line["message"] for line in roost.logs(one) if line["message"].startswith("scaled from")]
    assert len(notes) == len(events)
    shown = roost.cli("node", "scaling", "busy-node").stdout
    assert "1 to 6" in shown and "SEEN" in shown
    assert "by the load; see: roost node scaling busy-node" in roost.cli("node", "describe", "busy-node").stdout
    assert json.loads(roost.cli("node", "scaling", "busy-node", "-o", "json").stdout)["count"] == 1


def test_a_node_that_nobody_calls_rests_and_the_first_request_wakes_it(roost: Roost, slow: str) -> None:
    one = node(roost, "resting-node", 0, 4, lastLeaveSeconds=2)
    roost.healthy(one, 1)
    for _ in range(3):
        wait_for("no instance", lambda: roost.instances(one) == [])
        status = roost.status(one)
        assert status["status"] == "HEALTHY" and status["desiredInstances"] == 0
        ready = next(fact for fact in status["conditions"] if fact["type"] == "Ready")
        assert ready["status"] and ready["reason"] == "Resting"
        answer = roost.execute(one, {"pause": 0.01})
        assert answer.status == 200 and answer.json["output"] == {"out": 0.01}
        assert scaling(roost, one)["events"][0]["reason"] == "wake"
    wait_for("no instance", lambda: roost.instances(one) == [])
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(roost.execute(one, {"pause": 0.01}))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status for answer in answers] == [200] * 20


def test_a_resting_node_survives_the_service(make_server: Any) -> None:
    roost = make_server()
    roost.checkpoint("pause = 0.05", SLOW, name="slow")
    one = node(roost, "resting-node", 0, 4, lastLeaveSeconds=1)
    roost.healthy(one, 1)
    wait_for("no instance", lambda: roost.instances(one) == [])
    roost.kill()
    roost.start()
    for _ in range(2):
        answer = roost.execute(one, {"pause": 0.01})
        assert answer.status == 200, answer
        wait_for("no instance", lambda: roost.instances(one) == [])


def test_a_fixed_number_stays_and_can_be_let_go(roost: Roost, slow: str) -> None:
    fixed = roost.node(
        "fixed-node", checkpoint="slow", inputs=["pause:float"], outputs=["out:float"],
        instances={"min": 1, "max": 4, "count": 2},
    )  # fmt: skip
    roost.healthy(fixed, 2)
    assert scaling(roost, fixed)["automatic"] is False
    roost.cli("node", "update", "fixed-node", "--min", "1", "--max", "4", "--scale-leave", "1s", "--wait")
    seen = scaling(roost, fixed)
    assert seen["automatic"] and seen["maximum"] == 4
    wait_for("one instance", lambda: len(roost.instances(fixed)) == 1)
    roost.cli("node", "update", "fixed-node", "--instances", "3", "--min", "1", "--max", "4", "--wait")
    assert scaling(roost, fixed)["automatic"] is False and len(roost.healthy(fixed, 3)) == 3
    assert "scaling" not in roost.get(f"/v1/nodes/{fixed}")["spec"]


@pytest.mark.parametrize(
    ("instances", "policy", "field", "words"),
    [
        ({"min": 0}, None, "instances", "a min of 0 needs a max above it"),
        ({"min": 0, "max": 3, "count": 1}, None, "instances", "a min of 0 needs a max above it and no count"),
        ({"min": 1, "max": 101}, None, "instances", "between 0 and 100"),
        ({"count": 2}, {"concurrency": 1}, "scaling", "the number of instances is fixed"),
        ({"min": 1, "max": 3}, {"concurrency": 0}, "scaling.concurrency", "out of range"),
        ({"min": 1, "max": 3}, {"leaveSeconds": 0}, "scaling.leaveSeconds", "out of range"),
        ({"min": 1, "max": 3}, {"speed": 1}, "scaling.speed", "unknown"),
    ],
)
def test_what_cant_be_scaled_is_refused(
    roost: Roost, slow: str, instances: dict[str, int], policy: dict[str, Any] | None, field: str, words: str
) -> None:
    body: dict[str, Any] = {
        "name": "refused-node", "checkpoint": "slow", "inputs": [{"name": "pause", "type": "float"}],
        "outputs": [{"name": "out", "type": "float"}], "instances": instances,
    }  # fmt: skip
    if policy is not None:
        body["scaling"] = policy
    answer = roost.call("POST", "/v1/nodes", body)
    assert answer.status == 400 and answer.json["field"] == field and words in answer.json["detail"], answer
