"""Ramps: requests move to a candidate step by step, and back by themselves when it is worse. Steps of a second under real load."""

from __future__ import annotations

import http.client
import json
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Answer, Roost, wait_for
from test_aliases import publish
from upgrading import Upgradable

# How each node answers. The usual 15 ms are long enough that a busy machine does not look like a slow node.
CELLS = {
    "steady": "time.sleep(0.015)",
    "good": "time.sleep(0.015)",
    "erring": "time.sleep(0.015)\nassert x % 5",
    "slow": "time.sleep(0.2)",
    "crashing": "time.sleep(0.015)\nif x % 7 == 0:\n    import os\n    os.kill(os.getpid(), 9)",
    "tiring": "time.sleep(0.015)\nassert x < 1000 or x % 4",
}


def nodes(roost: Roost, *names: str) -> None:
    """A node of each cell of one notebook."""
    cells = ["import time\nx = 1", *(f"who = {name!r}\n{CELLS[name]}" for name in names)]
    roost.checkpoint(*cells, name=f"cell-{names[-1]}")
    ids = {found["cell"]["source"]: found["id"] for found in roost.get("/v1/checkpoints")["checkpoints"]}
    for name, source in zip(names[:-1], cells[1:]):
        assert roost.call("POST", f"/v1/checkpoints/{ids[source]}:pin", {"name": f"cell-{name}"}).status == 200
    for name in names:
        roost.node(name, checkpoint=f"cell-{name}", inputs=["x:int"], outputs=["who:str"], instances={"count": 4})
    for name in names:
        roost.healthy(name, 4)


class Load:
    """Callers of an alias on connections that are kept, until they are told to stop."""

    def __init__(self, roost: Roost, alias: str, callers: int = 4, first: int = 0) -> None:
        self.path = f"/datasphere/v1/aliases/{alias}:execute"
        self.port = roost.port
        self.folder = roost.folder
        self.headers = {"authorization": f"Bearer {roost.token}", "content-type": "application/json"}
        self.seen: Counter[str] = Counter()
        """Nodes that answered, and statuses of what failed."""
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(first, first + callers)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _call(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        # Counting up would keep step with the slots of an alias: each request to one node could have the same last digit.
        dice = random.Random(number)
        while not self._stop.is_set():
            x = dice.randrange(number, number + 900)
            body = json.dumps({"folder_id": self.folder, "input": {"x": x}})
            try:
                connection.request("POST", self.path, body, self.headers)
                answer = connection.getresponse()
                data = answer.read()
            except OSError as error:
                self.seen[type(error).__name__] += 1
                break
            ok = answer.status == 200
            self.seen[json.loads(data)["output"]["who"] if ok else str(answer.status)] += 1
        connection.close()


@pytest.fixture(scope="module")
def server(roost: Roost) -> Iterator[Roost]:
    nodes(roost, *CELLS)
    yield roost
    for alias in roost.get("/v1/aliases")["aliases"]:
        roost.call("POST", f"/v1/aliases/{alias['name']}:abort")


def start(roost: Roost, alias: str, to: str, **more: Any) -> Answer:
    """A ramp of short steps whose guards need few requests to be sure."""
    body = {
        "to": to, "steps": [10, 50, 100], "stepSeconds": 1, "minimumRequests": 20,
        "guards": {"errorRate": 0.05, "p95Increase": 2}, **more,
    }  # fmt: skip
    return roost.call("POST", f"/v1/aliases/{alias}:ramp", body)


def ramp(roost: Roost, alias: str) -> dict[str, Any]:
    return dict(roost.get(f"/v1/aliases/{alias}/ramp"))


def kinds(found: dict[str, Any]) -> list[str]:
    """What the journal of the newest ramp tells of, without what it waited for."""
    return [line["kind"] for line in found["journal"] if line["ramp"] == found["number"] and line["kind"] != "HELD"]


def weights(roost: Roost, alias: str) -> dict[str, int]:
    return {share["nodeName"]: share["weight"] for share in roost.get(f"/v1/aliases/{alias}")["shares"]}


def ended(roost: Roost, alias: str, status: str) -> dict[str, Any]:
    wait_for(f"the end of the ramp of {alias}", lambda: ramp(roost, alias)["status"] not in ("RUNNING", "PAUSED"))
    found = ramp(roost, alias)
    assert found["status"] == status, found
    return found


def test_a_good_candidate_is_promoted(server: Roost) -> None:
    publish(server, "promoted", {"steady": 100})
    with Load(server, "promoted") as load:
        done = server.cli(
            "alias", "ramp", "promoted", "--to", "good", "--steps", "10,50,100", "--every", "1s", "--min-requests", "20",
            "--guard", "errors<5%,p95<+200%", "--wait",
        )  # fmt: skip
        assert weights(server, "promoted") == {"steady": 0, "good": 100}
    assert set(load.seen) == {"steady", "good"}, load.seen
    assert "COMPLETED" in done.stdout and "limit" in done.stdout, done.stdout
    found = ramp(server, "promoted")
    assert kinds(found) == ["STARTED", "ADVANCED", "ADVANCED", "COMPLETED"]
    steps = [line for line in found["journal"] if line["kind"] in ("ADVANCED", "COMPLETED")]
    assert [line["percent"] for line in steps] == [50, 100, 100]
    for line in steps:
        assert line["candidate"]["requests"] >= 20 and line["others"]["requests"] >= 20, line
        assert line["candidate"]["p95Milliseconds"] > 10 and line["by"] == "roost"
    assert "Ramp" in server.cli("alias", "describe", "promoted").stdout
    metrics = server.call("GET", "/metrics").body.decode()
    assert 'roost_alias_ramp_status{alias_name="promoted",status="COMPLETED"} 1' in metrics
    assert 'roost_alias_ramp_decisions_total{alias_name="promoted",kind="ADVANCED"} 2' in metrics
    with sqlite3.connect(f"file:{server.data}/roost.db?mode=ro", uri=True) as database:
        alias = found["aliasId"]
        events = [row[0] for row in database.execute("SELECT event_type FROM audit WHERE resource_id = ?", (alias,))]
    names = [event.rpartition(".")[2] for event in events]
    assert names == ["CreateAlias", "StartAliasRamp", "AdvanceAliasRamp", "AdvanceAliasRamp", "CompleteAliasRamp"]


def test_an_erring_candidate_is_rolled_back(server: Roost) -> None:
    publish(server, "errors", {"steady": 100})
    with Load(server, "errors") as load:
        done = server.cli(
            "alias", "ramp", "errors", "--to", "erring", "--steps", "10,50,100", "--every", "2s", "--guard", "errors<2%",
            "--wait", check=False,
        )  # fmt: skip
    assert done.returncode == 1 and "ROLLED_BACK: errors: " in done.stderr, done
    assert weights(server, "errors") == {"steady": 100, "erring": 0}
    found = ramp(server, "errors")
    last = found["journal"][-1]
    assert last["kind"] == "ROLLED_BACK" and last["percent"] == 0
    assert last["candidate"]["failures"] > 0 and last["others"]["failures"] == 0
    assert "limit 2.00 %" in last["message"], last
    # Few callers noticed.
    assert sum(count for name, count in load.seen.items() if name.isdigit()) < 0.1 * load.seen["steady"], load.seen


def test_a_crashing_candidate_is_rolled_back(server: Roost) -> None:
    publish(server, "crashes", {"steady": 100})
    assert start(server, "crashes", "crashing").status == 201
    with Load(server, "crashes") as load:
        found = ended(server, "crashes", "ROLLED_BACK")
    assert weights(server, "crashes") == {"steady": 100, "crashing": 0}
    assert found["journal"][-1]["others"]["failures"] == 0, found
    # Only callers of the candidate noticed: whose request was with one that died, or waited too long for the next.
    assert set(load.seen) <= {"steady", "crashing", "503", "504"}, load.seen
    assert load.seen["503"] + load.seen["504"] < 0.1 * load.seen["steady"], load.seen


def test_a_candidate_that_errs_only_later_is_rolled_back(server: Roost) -> None:
    publish(server, "later", {"steady": 100})
    assert start(server, "later", "tiring", steps=[10, 50, 90, 100], stepSeconds=2).status == 201
    with Load(server, "later"):
        wait_for("it does well at first", lambda: ramp(server, "later")["percent"] >= 50)
    with Load(server, "later", first=1000):
        found = ended(server, "later", "ROLLED_BACK")
    assert weights(server, "later") == {"steady": 100, "tiring": 0}
    assert kinds(found)[:2] == ["STARTED", "ADVANCED"] and kinds(found)[-1] == "ROLLED_BACK", found
    assert "errors: " in found["message"], found


def test_a_slower_candidate_is_rolled_back(server: Roost) -> None:
    publish(server, "latency", {"steady": 90, "good": 10})
    assert start(server, "latency", "slow").status == 201
    with Load(server, "latency") as load:
        found = ended(server, "latency", "ROLLED_BACK")
    assert weights(server, "latency") == {"steady": 90, "good": 10, "slow": 0}
    assert "p95: 2" in found["message"] and "above the limit" in found["message"], found
    assert set(load.seen) == {"steady", "good", "slow"}, load.seen


def test_a_candidate_that_takes_no_requests_is_rolled_back(server: Roost) -> None:
    publish(server, "gone", {"steady": 100})
    assert start(server, "gone", "good", stepSeconds=5).status == 201
    server.finished(server.call("POST", "/v1/nodes/good:suspend").json["id"])
    found = ended(server, "gone", "ROLLED_BACK")
    assert "has taken no requests" in found["message"] and "suspended" in found["message"], found
    refused = start(server, "gone", "good")
    assert refused.status == 400 and refused.json["field"] == "to", refused
    server.finished(server.call("POST", "/v1/nodes/good:resume").json["id"])
    server.healthy("good", 4)


def test_without_traffic_it_holds_and_obeys(server: Roost) -> None:
    publish(server, "held", {"steady": 70, "slow": 30})
    assert start(server, "held", "good").status == 201
    wait_for("it waits for traffic", lambda: any(line["kind"] == "HELD" for line in ramp(server, "held")["journal"]))
    found = ramp(server, "held")
    assert found["status"] == "RUNNING" and "0 of at least 20 requests" in found["message"], found
    assert weights(server, "held") == {"steady": 63, "slow": 27, "good": 10}

    assert "paused" in server.cli("alias", "pause", "held").stdout
    again = server.call("POST", "/v1/aliases/held:pause")
    assert again.status == 400 and "is paused already" in again.json["detail"], again
    assert server.call("POST", "/v1/aliases/held:resume").json["status"] == "RUNNING"
    assert server.call("POST", "/v1/aliases/held:resume").status == 400
    assert server.call("POST", "/v1/aliases/held:abort").json["status"] == "ABORTED"
    assert weights(server, "held") == {"steady": 70, "slow": 30, "good": 0}
    none = server.call("POST", "/v1/aliases/held:abort")
    assert none.status == 400 and "no ramp under way" in none.json["detail"], none

    assert start(server, "held", "good").status == 201
    assert server.call("POST", "/v1/aliases/held:promote").json["percent"] == 100
    assert weights(server, "held") == {"steady": 0, "slow": 0, "good": 100}
    assert kinds(ramp(server, "held")) == ["STARTED", "PROMOTED"]


STEPS = {"steps": [10, 50, 100], "stepSeconds": 1, "minimumRequests": 20, "guards": {"errorRate": 0.05, "p95Increase": 2}}


def test_a_node_is_replaced_step_by_step(server: Roost) -> None:
    publish(server, "stepwise", {"steady": 100})
    plan = server.cli("node", "replace", "steady", "good", "--alias", "stepwise", "--keep", "--ramp", "10,50,100", "--dry-run")
    assert "ramp stepwise to good by steps of 10, 50, 100 %" in plan.stdout, plan.stdout
    with Load(server, "stepwise") as load:
        done = server.cli(
            "node", "replace", "steady", "good", "--alias", "stepwise", "--keep", "--ramp", "10,50,100", "--every", "1s",
            "--guard", "errors<5%,p95<+200%", "--min-requests", "20", "--wait",
        )  # fmt: skip
    assert set(load.seen) == {"steady", "good"}, (load.seen, done)
    assert weights(server, "stepwise") == {"good": 100}
    assert kinds(ramp(server, "stepwise")) == ["STARTED", "ADVANCED", "ADVANCED", "COMPLETED"]


def test_a_node_stays_when_its_successor_is_worse_or_the_replacement_is_cancelled(server: Roost) -> None:
    publish(server, "stays", {"steady": 100})
    body = {"successor": "erring", "alias": "stays", "afterwards": "keep", "ramp": STEPS}
    with Load(server, "stays"):
        begun = server.call("POST", "/v1/nodes/steady:replace", body)
        assert begun.status == 202, begun
        found = server.finished(begun.json["id"], 90)
    assert "ended ROLLED_BACK" in found["error"]["message"] and "The former shares are back" in found["error"]["message"], found
    assert weights(server, "stays") == {"steady": 100, "erring": 0}

    slowly = {**body, "successor": "good", "ramp": {**STEPS, "stepSeconds": 600}}
    begun = server.call("POST", "/v1/nodes/steady:replace", slowly)
    wait_for("the ramp is under way", lambda: weights(server, "stays").get("good") == 10)
    shown = server.get(f"/v1/operations/{begun.json['id']}")
    assert shown["replacement"]["phase"] == "RAMPING", shown
    wait_for(
        "it says what it waits for",
        lambda: "the ramp of alias stays is RUNNING" in server.get(f"/v1/operations/{begun.json['id']}").get("progress", ""),
    )
    ended_by = server.call("POST", f"/v1/operations/{begun.json['id']}:cancel").json
    assert "the ramp is aborted" in ended_by["error"]["message"], ended_by
    ended(server, "stays", "ABORTED")
    assert weights(server, "stays")["steady"] == 100

    publish(server, "crowd", {"steady": 50, "slow": 50})
    for more, field in [
        ({"ramp": {"steps": [10, 50]}}, "ramp.steps"), ({"ramp": STEPS, "holdSeconds": 5}, "ramp"),
        ({"ramp": STEPS, "alias": "crowd"}, "ramp"), ({"ramp": {"steps": [50, 10, 100]}}, "steps[1]"),
    ]:  # fmt: skip
        refused = server.call("POST", "/v1/nodes/steady:replace", {**body, "successor": "good", **more})
        assert refused.status == 400 and refused.json["field"] == field, (more, refused)
    assert server.call("DELETE", "/v1/aliases/crowd").status == 204


def test_what_would_cross_a_ramp_is_refused(server: Roost) -> None:
    made = publish(server, "crossed", {"steady": 100, "slow": 0})
    stale = start(server, "crossed", "good", generation=made["generation"] + 1)
    assert stale.status == 409 and stale.json["field"] == "generation", stale
    assert start(server, "crossed", "good", generation=made["generation"]).status == 201
    before = weights(server, "crossed")
    share = {"shares": [{"node": "slow", "weight": 100}]}
    for method, path, body, words in [
        ("POST", "/v1/aliases/crossed:ramp", {"to": "slow"}, "has a ramp to node 'good' under way"),
        ("PATCH", "/v1/aliases/crossed?update_mask=shares", share, "shares: alias 'crossed' has a ramp"),
        ("POST", "/v1/nodes/steady:replace", {"successor": "slow"}, "has a ramp to node 'good' under way"),
        ("DELETE", "/v1/aliases/crossed", None, "has a ramp to node 'good' under way"),
        ("DELETE", "/v1/nodes/slow", None, "has a ramp to node 'good' under way"),
        ("DELETE", "/v1/nodes/good", None, "alias 'crossed' sends 10 % of its requests"),
    ]:
        answer = server.call(method, path, body)
        assert answer.status == 400 and words in answer.json["detail"], answer
    assert weights(server, "crossed") == before
    # What is not the ramp's may change.
    assert server.call("PATCH", "/v1/aliases/crossed?update_mask=description", {"description": "x"}).status == 200
    assert server.call("POST", "/v1/aliases/crossed:abort").status == 200
    assert server.get("/v1/aliases/crossed")["spec"]["description"] == "x"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"to": "nobody"}, "to"),
    ({"to": "steady"}, "to"),
    ({"to": "good", "steps": []}, "steps"),
    ({"to": "good", "steps": [5, 5]}, "steps[1]"),
    ({"to": "good", "steps": [0, 5]}, "steps[0]"),
    ({"to": "good", "steps": [50, 101]}, "steps[1]"),
    ({"to": "good", "steps": [100]}, "steps[0]"),
    ({"to": "good", "stepSeconds": 0.5}, "stepSeconds"),
    ({"to": "good", "minimumRequests": 0}, "minimumRequests"),
    ({"to": "good", "guards": {}}, "guards"),
    ({"to": "good", "guards": {"errorRate": 2}}, "guards.errorRate"),
    ({"to": "good", "guards": {"p95Increase": 0}}, "guards.p95Increase"),
    ({"to": "good", "every": 1}, "every"),
    ({"steps": [50, 100]}, "to"),
]


def test_bad_input_is_refused_by_field(server: Roost) -> None:
    made = publish(server, "strict", {"steady": 100})
    for body, field in BAD:
        answer = server.call("POST", "/v1/aliases/strict:ramp", body)
        assert answer.status in (400, 404) and answer.json["field"] == field, (body, answer)
    for verb in ("pause", "resume", "promote", "abort"):
        assert server.call("POST", f"/v1/aliases/strict:{verb}", {"why": "x"}).json["field"] == "body"
    assert server.call("GET", "/v1/aliases/strict/ramp").status == 404
    wrong = server.cli("alias", "ramp", "strict", "--to", "good", "--guard", "latency<5", check=False)
    assert wrong.returncode == 2 and "must be errors<PERCENT% or p95<+PERCENT%" in wrong.stderr
    server.node("other", checkpoint="cell-good", inputs=["x:int"], outputs=["x:int"], instances={"count": 1})
    server.healthy("other", 1)
    answer = server.call("POST", "/v1/aliases/strict:ramp", {"to": "other"})
    assert answer.status == 400 and answer.json["field"] == "to" and "who" in answer.json["detail"], answer
    assert server.get("/v1/aliases/strict")["generation"] == made["generation"]
    assert start(server, "strict", "other", allowBreaking=True).status == 201
    assert server.call("POST", "/v1/aliases/strict:abort").status == 200


def test_a_ramp_survives_the_end_of_its_server(make_server: Callable[..., Roost]) -> None:
    roost = make_server()
    nodes(roost, "steady", "good")
    publish(roost, "lasting", {"steady": 100})
    assert start(roost, "lasting", "good", steps=[10, 30, 50, 100], stepSeconds=2).status == 201
    with Load(roost, "lasting"):
        wait_for("the second step", lambda: ramp(roost, "lasting")["percent"] == 30)
    roost.kill()
    roost.start()
    wait_for("it is continued", lambda: "CONTINUED" in kinds(ramp(roost, "lasting")))
    assert kinds(ramp(roost, "lasting")) == ["STARTED", "ADVANCED", "CONTINUED"]
    assert weights(roost, "lasting") == {"steady": 70, "good": 30}
    with Load(roost, "lasting") as load:
        done = ended(roost, "lasting", "COMPLETED")
    assert kinds(done) == ["STARTED", "ADVANCED", "CONTINUED", "ADVANCED", "ADVANCED", "COMPLETED"]
    assert weights(roost, "lasting") == {"steady": 0, "good": 100}
    assert set(load.seen) == {"steady", "good"}, load.seen

    # Paused stays paused; what ended stays so.
    publish(roost, "resting", {"steady": 100})
    assert start(roost, "resting", "good").status == 201
    assert roost.call("POST", "/v1/aliases/resting:pause").status == 200
    roost.kill()
    roost.start()
    wait_for("it is continued", lambda: "CONTINUED" in kinds(ramp(roost, "resting")))
    assert ramp(roost, "resting")["status"] == "PAUSED"
    assert ramp(roost, "lasting")["status"] == "COMPLETED"
    assert roost.call("POST", "/v1/aliases/resting:abort").json["status"] == "ABORTED"


def test_a_ramp_goes_on_in_the_process_that_takes_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    roost = Upgradable(tmp_path_factory.mktemp("r") / "data")
    roost.start()
    try:
        nodes(roost, "steady", "good", "erring")
        publish(roost, "moving", {"steady": 100})
        assert start(roost, "moving", "good", steps=[10, 30, 50, 100], stepSeconds=2).status == 201
        with Load(roost, "moving") as load:
            wait_for("the second step", lambda: ramp(roost, "moving")["percent"] == 30)
            roost.upgrade("--drain", "5s")
            done = ended(roost, "moving", "COMPLETED")
        assert kinds(done) == ["STARTED", "ADVANCED", "CONTINUED", "ADVANCED", "ADVANCED", "COMPLETED"]
        assert set(load.seen) == {"steady", "good"}, load.seen

        # The new process judges by what it sees itself.
        publish(roost, "judged", {"steady": 100})
        assert start(roost, "judged", "erring", stepSeconds=600).status == 201
        roost.upgrade("--drain", "5s")
        with Load(roost, "judged"):
            ended(roost, "judged", "ROLLED_BACK")
        assert weights(roost, "judged") == {"steady": 100, "erring": 0}
    finally:
        roost.close()
