"""Updates of nodes make releases, which take the place of the former ones while requests go on, or leave them as they are."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from conftest import Answer, Roost, wait_for

CELL = "version = {}\nout = x + version"
BROKEN = """
class Bad:
    def __reduce__(self):
        return open, ("/nowhere/model.bin",)
bad = Bad()
"""


@pytest.fixture(scope="module")
def versions(roost: Roost) -> None:
    for number in (1, 2, 3):
        roost.checkpoint("x = 0", CELL.format(number * 100), name=f"version-{number}")
    # What it holds can be saved, but not restored.
    roost.checkpoint(f"x = 0\n{BROKEN}", "out = x if bad else 0", name="broken")


def make(roost: Roost, name: str, count: int = 3, **more: Any) -> str:
    return roost.node(
        name, checkpoint="version-1", inputs=["x:int"], outputs=["out:int"], instances={"count": count}, **more
    )  # fmt: skip


def update(roost: Roost, node: str, **fields: Any) -> dict[str, Any]:
    answer = roost.call("PATCH", f"/v1/nodes/{node}?update_mask={','.join(fields)}", fields)
    assert answer.status == 202, answer
    return roost.finished(answer.json["id"])


def history(roost: Roost, node: str) -> list[tuple[int, str]]:
    return [(one["number"], one["state"]) for one in roost.get(f"/v1/nodes/{node}/releases")["releases"]]


class Caller:
    """Calls one request after the other until it is told to stop; no answer may be an error."""

    def __init__(self, roost: Roost, node: str) -> None:
        self.answers: list[Answer] = []
        self._stop = threading.Event()

        def call() -> None:
            while not self._stop.is_set():
                self.answers.append(roost.execute(node, {"x": 1}))

        self._thread = threading.Thread(target=call)
        self._thread.start()

    def end(self) -> set[int]:
        self._stop.set()
        self._thread.join(60)
        wrong = [answer for answer in self.answers if answer.status != 200]
        assert self.answers and not wrong, wrong[:3]
        return {int(answer.json["output"]["out"]) for answer in self.answers}


def test_another_checkpoint_is_a_release_that_takes_over_while_requests_go_on(roost: Roost, versions: None) -> None:
    node = make(roost, "rolling")
    first = {instance["id"] for instance in roost.healthy(node, 3)}
    assert history(roost, node) == [(1, "serving")]
    caller = Caller(roost, node)
    out = roost.cli("node", "update", "rolling", "--checkpoint", "version-2", "--wait").stdout
    assert "HEALTHY" in out
    assert caller.end() <= {101, 201}
    assert roost.execute(node, {"x": 1}).json["output"] == {"out": 201}
    second = roost.instances(node)
    assert len(second) == 3 and {one["release"] for one in second} == {2} and not first & {one["id"] for one in second}
    assert history(roost, node) == [(2, "serving"), (1, "superseded")]
    shown = roost.cli("node", "history", "rolling").stdout
    assert "serving" in shown and "cell.checkpointId: " in shown and "first release" in shown, shown

    roost.cli("node", "rollback", "rolling", "--wait")
    assert roost.execute(node, {"x": 1}).json["output"] == {"out": 101}
    assert history(roost, node) == [(2, "superseded"), (1, "serving")]
    roost.cli("node", "update", "rolling", "--memory", "1GiB", "--wait")
    assert history(roost, node)[0] == (3, "serving"), "numbers are never used again"
    changes = roost.get(f"/v1/nodes/{node}/releases")["releases"][0]["changes"]
    assert changes == [{"field": "memoryBytes", "after": str(1 << 30)}]


def test_what_needs_no_new_instances_makes_no_release(roost: Roost, versions: None) -> None:
    node = make(roost, "settled", 1)
    before = roost.healthy(node, 1)[0]["id"]
    assert "error" not in update(roost, node, description="calm", queueLimit=7, rollOut={"surge": 2}, checkpoint="version-1")
    assert history(roost, node) == [(1, "serving")] and roost.instances(node)[0]["id"] == before


def test_a_release_that_fails_is_given_up_and_the_former_one_is_not_touched(roost: Roost, versions: None) -> None:
    node = make(roost, "steady")
    before = {instance["id"] for instance in roost.healthy(node, 3)}
    caller = Caller(roost, node)
    operation = update(roost, node, checkpoint="broken")
    said = operation["error"]["message"]
    assert said.startswith("release 2 failed; release 1 serves: it failed") and "/nowhere/model.bin" in said, said
    assert {instance["id"] for instance in roost.healthy(node, 3)} == before
    assert caller.end() == {101}
    status = roost.status(node)
    assert status["status"] == "HEALTHY" and status["rollOut"]["state"] == "failed" and status["rollOut"]["serving"] == 1
    fact = next(one for one in status["conditions"] if one["type"] == "RollOut")
    assert (fact["status"], fact["reason"]) == (False, "ReleaseFailed") and "release 2 failed" in fact["message"]
    assert history(roost, node) == [(2, "failed"), (1, "serving")]
    assert "release 2 failed; release 1 serves" in roost.cli("node", "describe", "steady").stdout
    # What is around instances can be changed meanwhile; then a better one supersedes it.
    assert "error" not in update(roost, node, instances={"count": 2})
    assert len(roost.healthy(node, 2)) == 2
    assert "error" not in update(roost, node, memoryBytes=1 << 30, checkpoint="version-3")
    assert roost.execute(node, {"x": 1}).json["output"] == {"out": 301}
    assert history(roost, node) == [(3, "serving"), (2, "failed"), (1, "superseded")]


def test_other_variables_switch_at_once(roost: Roost, versions: None) -> None:
    node = make(roost, "contract")
    caller = Caller(roost, node)
    refused = roost.call("PATCH", f"/v1/nodes/{node}?update_mask=outputs", {"outputs": [{"name": "nope", "type": "int"}]})
    assert refused.status == 400 and "nope" in refused.json["detail"], refused
    assert "error" not in update(roost, node, outputs=[{"name": "out", "type": "int"}, {"name": "version", "type": "int"}])
    assert caller.end() == {101}
    assert roost.execute(node, {"x": 1}).json["output"] == {"out": 101, "version": 100}
    assert "version" in str(roost.get(f"/nodes/{node}/openapi.json"))


def test_recreate_never_has_more_instances_than_wanted(roost: Roost, versions: None) -> None:
    node = make(roost, "frugal", rollOut={"strategy": "recreate"}, maintenanceLimit=2)
    most = 0
    answer = roost.call("PATCH", f"/v1/nodes/{node}?update_mask=checkpoint", {"checkpoint": "version-2"})
    caller = Caller(roost, node)
    while not roost.get(f"/v1/operations/{answer.json['id']}")["done"]:
        most = max(most, len(roost.instances(node)))
    assert caller.end() <= {101, 201} and most <= 3
    assert {one["release"] for one in roost.healthy(node, 3)} == {2}


def test_the_latest_update_wins(roost: Roost, versions: None) -> None:
    node = make(roost, "hasty")
    answers = [
        roost.call("PATCH", f"/v1/nodes/{node}?update_mask=checkpoint", {"checkpoint": f"version-{number}"}) for number in (2, 3)
    ]
    assert [answer.status for answer in answers] == [202, 202]
    operations = [roost.finished(answer.json["id"]) for answer in answers]
    assert "error" not in operations[1], operations
    assert roost.execute(node, {"x": 1}).json["output"] == {"out": 301}
    states = dict(history(roost, node))
    assert states[3] == "serving" and states[1] == "superseded"
    if states[2] == "superseded" and "error" in operations[0]:
        assert "gave way to release 3" in operations[0]["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"rollOut": {"strategy": "magic"}}, "rollOut.strategy", "surge, recreate"),
        ({"rollOut": {"surge": 0}}, "rollOut.surge", "1.0 to 100.0"),
        ({"rollOut": {"strategy": "recreate", "surge": 1}}, "rollOut.surge", "strategy surge"),
        ({"checkpoint": "nothing"}, "checkpoint", "'nothing' is neither"),
        ({"image": {"reference": "a"}}, "image", "kind"),
    ],
)
def test_a_wrong_field_is_named(roost: Roost, versions: None, fields: dict[str, Any], field: str, words: str) -> None:
    nodes = {one["name"]: one["id"] for one in roost.get("/v1/nodes")["nodes"]}
    node = nodes.get("picky") or make(roost, "picky", 1)
    answer = roost.call("PATCH", f"/v1/nodes/{node}?update_mask={','.join(fields)}", fields)
    assert answer.status in (400, 404) and field in answer.json["detail"] and words in answer.json["detail"], answer
    refused = roost.call("POST", f"/v1/nodes/{node}:rollback", {"release": 9})
    assert refused.status == 404 and "no release 9" in refused.json["detail"]


def test_a_roll_out_goes_on_after_kill_9_of_the_service(make_server: Any) -> None:
    roost = make_server()
    for number in (1, 2):
        roost.checkpoint("x = 0", CELL.format(number * 100), name=f"version-{number}")
    node = make(roost, "persistent", 4)
    for number, seconds in ((2, 0.0), (1, 0.1), (2, 0.3), (1, 0.6)):
        answer = roost.call("PATCH", f"/v1/nodes/{node}?update_mask=checkpoint", {"checkpoint": f"version-{number}"})
        assert answer.status == 202, answer
        threading.Event().wait(seconds)
        roost.kill()
        roost.start()
        assert "error" not in roost.finished(answer.json["id"])
        found = roost.healthy(node, 4)
        assert len(found) == 4 and len({one["release"] for one in found}) == 1
        assert roost.execute(node, {"x": 1}).json["output"] == {"out": number * 100 + 1}
        wait_for("one host", lambda: len([p for p in (roost.data / "run").iterdir() if p.name.startswith(node)]) == 1)
