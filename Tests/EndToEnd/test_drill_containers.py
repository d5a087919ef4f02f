"""`roost drill` over containers of a real engine: they are killed, frozen and slowed behind an alias, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import engine
import pytest
from engine import SOCKET
from test_aliases import publish
from test_drill import drill
from test_image_nodes import make
from upgrading import Upgradable

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)


def test_nothing_is_lost_while_containers_are_killed_frozen_and_slowed(make_upgradable: Callable[..., Upgradable]) -> None:
    roost = make_upgradable("--engine", SOCKET)
    for name in ("blue", "green"):
        make(roost, name, instances={"count": 3})
    publish(roost, "staging", {"blue": 60, "green": 40})
    flags = ["--step", "3s", "--path", "/id", "--stream", "/stream?n=20&ms=20", "--websocket", "/ws"]
    code, report, said = drill(roost, "staging", *flags)
    print(report.get("forms"), report.get("cutStreams"), "streams ended with killed instances,", report.get("lost"), "lost")
    told = (report.get("steps"), report.get("failures"), said)
    assert code == 0, told
    steps = {step["name"]: step for step in report["steps"]}
    for name in ("calm", "kill", "freeze", "slow", "weights", "hold", "restart"):
        assert steps[name]["state"] == "done", told
        assert steps[name]["requests"] > 20 and steps[name]["lost"] == 0, told
    forms = {form["name"]: form["requests"] for form in report["forms"]}
    assert report["lost"] == 0 and forms.pop("WebSocket") >= 4 and min(forms.values()) > 50, told
    # WebSockets stay where they are while the server changes its process.
    assert steps["restart"]["restart"]["formerProcessDrains"], told
    killed = steps["kill"]["note"].split()[2]
    assert killed.startswith("ins"), told
    alias = roost.get("/v1/aliases/staging")
    now = [one["id"] for share in alias["shares"] for one in roost.instances(share["nodeId"])]
    assert len(now) == 6 and killed not in now, now
