"""A hundred changes of aliases under constant load of every kind: no request fails, and no stream is cut before its time to drain is over.

Weights move, nodes are replaced, drained nodes are deleted and others made, changes are taken back, and another process of `roost`
takes over twice. `ROOST_ZERO_LOSS_SECONDS=300` makes the long form of it (`make zero-loss`); by itself it takes some 40 seconds.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import SOCKET, left_of
from load import Load, evidence
from upgrading import Upgradable

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

SECONDS = float(os.environ.get("ROOST_ZERO_LOSS_SECONDS") or 20)
CHANGES = int(os.environ.get("ROOST_ZERO_LOSS_CHANGES") or 100)
DRAIN = 2.0
"""Of image nodes; the processes of `roost` have more."""


@pytest.fixture
def server() -> Iterator[Upgradable]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    found = Upgradable(folder / "data", "--engine", SOCKET)
    found.start()
    yield found
    found.close()
    shutil.rmtree(folder, ignore_errors=True)


class Stage:
    """An alias and its nodes, of one kind; nodes come and go, names are never used again."""

    def __init__(self, server: Roost, alias: str, kind: str) -> None:
        self.server = server
        self.alias = alias
        self.kind = kind
        self.numbers = itertools.count(1)
        self.weights: dict[str, int] = {}
        self.before: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        for _ in range(3 if kind == "cell" else 2):
            self.make()
        for name in self.ids:
            self.wait(name)
        self.weights = {name: 0 for name in self.ids}
        self.weights[next(iter(self.ids))] = 100
        answer = server.call("POST", "/v1/aliases", {"name": alias, "shares": self.shares(self.weights)})
        assert answer.status == 201, answer

    def make(self) -> str:
        name = f"{self.alias}-{next(self.numbers)}"
        if self.kind == "cell":
            body: dict[str, Any] = {
                "checkpoint": "adder", "inputs": [{"name": "x", "type": "int"}], "outputs": [{"name": "y", "type": "int"}],
                "instances": {"count": 1},
            }  # fmt: skip
        else:
            check = {"type": "http", "path": "/health", "timeoutSeconds": 5, "intervalSeconds": 1, "failsThreshold": 3, "passesThreshold": 1}
            image = {"reference": "testapp:1", "port": 8080, "drainSeconds": DRAIN, "stopSeconds": 3}
            body = {
                "kind": "image", "image": image, "memoryBytes": 128 << 20, "cpus": 1, "healthCheck": check, "instances": {"count": 1},
                "endpoint": {"type": self.kind},
            }  # fmt: skip
        answer = self.server.call("POST", "/v1/nodes", {"name": name, **body})
        assert answer.status == 202, answer
        self.ids[name] = str(answer.json["resourceId"])
        return name

    def wait(self, name: str) -> None:
        wait_for(f"node {name} is healthy", lambda: self.server.status(self.ids[name])["status"] == "HEALTHY", 120)

    @staticmethod
    def shares(weights: dict[str, int]) -> list[dict[str, Any]]:
        return [{"node": name, "weight": weight} for name, weight in weights.items()]

    def move(self, weights: dict[str, int]) -> None:
        answer = self.server.call("PATCH", f"/v1/aliases/{self.alias}?update_mask=shares", {"shares": self.shares(weights)})
        assert answer.status == 200, answer
        self.before, self.weights = self.weights, weights

    def split(self) -> None:
        """Any weights."""
        names = list(self.ids)
        cuts = sorted(random.randint(0, 100) for _ in names[1:])
        self.move({name: high - low for name, low, high in zip(names, [0, *cuts], [*cuts, 100])})

    def back(self) -> None:
        """What was before the last change, as far as it is there."""
        known = {name: self.before.get(name, 0) for name in self.ids}
        if sum(known.values()) == 100:
            self.move(known)
        else:
            self.split()

    def hand_on(self) -> None:
        """All to one node."""
        names = list(self.ids)
        to = names[(names.index(max(self.weights, key=lambda name: self.weights[name])) + 1) % len(names)]
        self.move({name: 100 if name == to else 0 for name in names})

    def replace(self) -> str:
        """A new node takes all; the one that had most gets nothing more, and is deleted: its streams end, its requests don't."""
        old = max(self.weights, key=lambda name: self.weights[name])
        new = self.make()
        self.wait(new)
        self.move({**{name: 0 for name in self.ids}, new: 100})
        gone = self.ids.pop(old)
        answer = self.server.call("DELETE", f"/v1/nodes/{gone}")
        assert answer.status == 202, answer
        self.weights = {name: weight for name, weight in self.weights.items() if name != old}
        return gone


def test_a_hundred_changes_lose_nothing(server: Upgradable) -> None:
    seed = int(os.environ.get("ROOST_ZERO_LOSS_SEED") or time.time())
    random.seed(seed)
    server.checkpoint("x = 1", "y = x + 1", name="adder")
    stages = [Stage(server, "cells", "cell"), Stage(server, "web", "http"), Stage(server, "calls", "grpc")]
    load = Load(
        server, {"x-node-alias": "web"}, {"x-node-alias": "calls"}, cell="/datasphere/v1/aliases/cells:execute"
    )
    replaced = 3 if SECONDS < 60 else 15
    plan = ["split"] * (66 - replaced) + ["back"] * 15 + ["hand_on"] * 16 + ["replace"] * replaced
    plan = [plan[number % len(plan)] for number in range(max(0, CHANGES - 3))]
    random.shuffle(plan)
    # The rest: twice another process, once a release that is taken back.
    for part, name in ((0.3, "upgrade"), (0.5, "roll"), (0.75, "upgrade")):
        plan.insert(int(len(plan) * part), name)
    gone: list[str] = []
    slowest = 0.0
    try:
        wait_for("all clients are at work", lambda: load.at_work, 60)
        began = time.monotonic()
        turns = itertools.cycle(stages)
        for number, name in enumerate(plan):
            due = began + SECONDS * number / len(plan)
            wait_for("the time of the next change", lambda at=due: time.monotonic() >= at or load.wrong, SECONDS)
            at = time.monotonic()
            stage = next(turns)
            if name == "upgrade":
                server.upgrade("--drain", f"{int(max(5, SECONDS / 10))}s")
            elif name == "roll":
                node = next(iter(stages[1].ids.values()))
                update = {"image": {"environment": {"APP_RELEASE": "2"}}}
                answer = server.call("PATCH", f"/v1/nodes/{node}?update_mask=image", update)
                assert answer.status == 202, answer
                assert "error" not in server.finished(answer.json["id"], 120)
                server.cli("node", "rollback", node, "--wait")
            elif name == "replace":
                gone.append(stage.replace())
            else:
                getattr(stage, name)()
            slowest = max(slowest, time.monotonic() - at)
            assert not load.wrong, f"change {number} ({name}), seed {seed}\n{evidence(server, [], load)}"
        took = time.monotonic() - began
        wait_for("deleted nodes are gone", lambda: not {node["id"] for node in server.get("/v1/nodes")["nodes"]} & set(gone), 60)
    finally:
        load.end()
    ended = {name: count for name, count in load.done.items() if name.endswith(" ended")}
    print(
        f"\nzero loss: {len(plan)} changes in {took:.0f} s (seed {seed}, the longest {slowest:.1f} s), {len(gone)} nodes deleted, "
        f"2 processes replaced; {load.requests} requests and messages: {dict(load.done)}; failed: {len(load.wrong)}; "
        f"streams that ended: {ended}, the shortest after {min(load.lives, default=0):.1f} s"
    )
    assert not load.wrong, f"seed {seed}\n{evidence(server, [], load)}"
    assert len(plan) == CHANGES
    in_time = not load.lives or min(load.lives) >= DRAIN * 0.95
    assert in_time, f"a stream was cut before its time to drain was over: {load.ends}, seed {seed}\n{server.log.read_text()[-20000:]}"
    for node in gone:
        wait_for("nothing is left", lambda id=node: left_of(id) == [], 60)
