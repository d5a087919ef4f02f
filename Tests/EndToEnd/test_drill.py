"""`roost drill` as the acceptance test: an alias of cells under load loses nothing while instances are killed, frozen and slowed,
weights move and requests are held. `ROOST_DRILL_SECONDS=300` makes the long form of it (`make drill`)."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from conftest import BINARY, Roost, wait_for
from test_aliases import publish
from upgrading import Upgradable, is_running

SECONDS = int(os.environ.get("ROOST_DRILL_SECONDS") or 0)


def cells(roost: Roost, *names: str, count: int = 3, seconds: float = 0.002) -> None:
    for name in names:
        code = f"import time\nwho = {name!r}\ntime.sleep({seconds})\ny = x + 1"
        roost.checkpoint("x = 1", code, name=f"cell-{name}")
        node = roost.node(
            name,
            checkpoint=f"cell-{name}",
            inputs=["x:int"],
            outputs=["who:str", "y:int"],
            instances={"count": count},
        )
        roost.healthy(node, count)


def drill(roost: Roost, alias: str, *flags: str, **more: Any) -> tuple[int, dict[str, Any], str]:
    """Exit code, report and what was said."""
    command = [BINARY, "drill", alias, "-o", "json", *flags]
    settings = {"env": roost.environment, "capture_output": True, "text": True, "timeout": SECONDS + 300, **more}
    done = subprocess.run(command, check=False, **settings)
    if isinstance(roost, Upgradable):
        roost.follow()
    return (
        done.returncode,
        json.loads(done.stdout) if done.stdout.startswith("{") else {},
        done.stderr,
    )


def test_nothing_is_lost_while_instances_are_killed_frozen_and_slowed(make_upgradable: Callable[..., Upgradable]) -> None:
    """The plain command: it restarts the server, too."""
    roost = make_upgradable()
    first = roost.pid
    cells(roost, "blue", "green")
    publish(
        roost,
        "staging",
        {"blue": 60, "green": 40},
        rules=[{"node": "green", "header": "x-beta"}],
    )
    flags = ["--for", f"{SECONDS}s"] if SECONDS else ["--step", "2s"]
    code, report, said = drill(roost, "staging", *flags)
    for step in report["steps"]:
        print(step)
    print(
        report["forms"],
        report["requests"],
        "requests,",
        report["resent"],
        "sent again,",
        report["lost"],
        "lost",
    )
    assert report["lost"] == 0 and report["failures"] == [], (report["failures"], said)
    assert code == 0, said
    states = {step["name"]: step["state"] for step in report["steps"]}
    assert {name for name, state in states.items() if state == "done"} == {
        "calm", "kill", "freeze", "slow", "weights", "hold", "restart"
    }, report["steps"]  # fmt: skip
    assert {form["name"] for form in report["forms"]} == {"HTTP/1.1", "HTTP/2", "gRPC"}
    assert all(form["requests"] > 100 for form in report["forms"])
    by_name = {step["name"]: step for step in report["steps"]}
    assert (
        by_name["hold"]["maximumMilliseconds"] > 300
        and by_name["kill"]["p50Milliseconds"] > 0
    )
    # Each restart has its process, and what was left to the one before ends by itself.
    restarts = [step["restart"] for step in report["steps"] if step["name"] == "restart"]
    pids = [first, *(one["pid"] for one in restarts)]
    assert [one["formerPid"] for one in restarts] == pids[:-1] and pids[-1] == roost.pid != first, restarts
    assert all(one["leftConnections"] > 0 and one["version"] for one in restarts), restarts
    assert f"process {roost.pid} (roost " in by_name["restart"]["note"], by_name["restart"]
    wait_for("former processes end", lambda: not any(map(is_running, pids[:-1])), 100)
    alias = roost.get("/v1/aliases/staging")
    assert {share["nodeName"]: share["weight"] for share in alias["shares"]} == {
        "blue": 60,
        "green": 40,
    }
    killed = by_name["kill"]["note"].split()[2]
    assert killed.startswith("ins")
    assert all(one["id"] != killed for share in alias["shares"] for one in roost.instances(share["nodeId"]))


def test_what_is_lost_is_told_with_its_request_id(
    make_server: Callable[..., Roost],
) -> None:
    """A server that fails now and then: the drill must see it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        asked = 0

        def do_GET(self) -> None:
            Handler.asked += 1
            self.send_response(500 if Handler.asked % 50 == 0 else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    roost = make_server()
    address = f"127.0.0.1:{server.server_address[1]}"
    body = {
        "name": "web",
        "kind": "address",
        "addresses": [{"address": address}],
        "endpoint": {"type": "http"},
    }
    roost.healthy(str(roost.call("POST", "/v1/nodes", body).json["resourceId"]), 1)
    publish(roost, "prod", {"web": 100})
    code, report, said = drill(roost, "prod", "--step", "1s", "--no-restart")
    assert code == 2 and report == {} and "alias 'prod' is not staging" in said, said
    publish(roost, "prod", {"web": 100}, metadata={"stage": "test"})
    code, report, said = drill(roost, "prod", "--step", "1s", "--no-restart")
    assert code == 1 and "requests were lost" in said, said
    assert report["lost"] > 0 and report["lost"] == sum(
        step["lost"] for step in report["steps"]
    )
    failure = report["failures"][0]
    assert failure["status"] == 500 and failure["requestId"].startswith("drill-"), (
        failure
    )
    told = json.loads(roost.cli("explain", failure["requestId"], "-o", "json").stdout)
    assert told["status"] == 500
    kill = next(step for step in report["steps"] if step["name"] == "kill")
    assert (
        kill["state"] == "skipped"
        and "servers that Roost did not start" in kill["note"]
    )
    server.shutdown()
    server.server_close()


def test_a_request_with_an_idempotency_key_outlives_its_instance(
    make_server: Callable[..., Roost],
) -> None:
    roost = make_server()
    cells(roost, "blue", count=2, seconds=1.5)
    publish(roost, "test", {"blue": 100})
    node = roost.get("/v1/aliases/test")["shares"][0]["nodeId"]

    def run(key: bool) -> list[Any]:
        headers = {"idempotency-key": "one"} if key else {}
        body = {"folder_id": roost.folder, "input": {"x": 41}}
        answers: list[Any] = []
        path = "/datasphere/v1/aliases/test:execute"
        callers = [
            threading.Thread(
                target=lambda: answers.append(
                    roost.call("POST", path, body, headers=headers)
                )
            )
            for _ in range(2)
        ]
        for caller in callers:
            caller.start()

        def flying() -> bool:
            lines = roost.call("GET", "/metrics").body.decode().splitlines()
            return any(
                line.startswith("roost_gateway_in_flight_requests")
                and line.endswith(" 2")
                for line in lines
            )

        wait_for("both are under way", flying)
        for instance in roost.healthy(node, 2):
            killed = roost.call(
                "POST",
                f"/v1/instances/{instance['id']}:disturb",
                {"disturbance": "kill"},
            )
            assert killed.status == 204, killed
        for caller in callers:
            caller.join(60)
        return answers

    lost = run(False)
    assert [answer.status for answer in lost] == [503, 503], lost
    assert all(
        "ended before it had answered" in answer.json["message"] for answer in lost
    )
    roost.healthy(node, 2)
    kept = run(True)
    assert [answer.status for answer in kept] == [200, 200], kept
    assert all(answer.json["output"]["y"] == 42 for answer in kept)


def test_a_frozen_instance_goes_on(make_server: Callable[..., Roost]) -> None:
    roost = make_server()
    cells(roost, "blue", count=1)
    publish(roost, "test", {"blue": 100})
    node = roost.get("/v1/aliases/test")["shares"][0]["nodeId"]
    instance = roost.healthy(node, 1)[0]
    path = f"/v1/instances/{instance['id']}:disturb"

    def state() -> str:
        with open(f"/proc/{instance['pid']}/stat") as file:
            return file.read().rpartition(") ")[2][0]

    assert (
        roost.call("POST", path, {"disturbance": "freeze", "seconds": 3}).status == 204
    )
    wait_for("it is frozen", lambda: state() == "T")
    began = time.monotonic()
    assert roost.execute(node, {"x": 1}).status == 200
    assert time.monotonic() - began > 0.5
    wait_for("it goes on", lambda: state() != "T")
    assert roost.healthy(node, 1)[0]["id"] == instance["id"]
    for body, text in (
        ({"disturbance": "freeze", "seconds": 31}, "1 to 30"),
        ({"disturbance": "burn"}, "disturbance"),
    ):
        refused = roost.call("POST", path, body)
        assert refused.status == 400 and text in refused.json["detail"], refused
