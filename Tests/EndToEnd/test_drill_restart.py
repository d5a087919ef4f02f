"""The step of `roost drill` that restarts the server: which process it replaces, and which it leaves alone."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import BINARY, Roost, wait_for
from test_aliases import publish
from test_drill import drill
from upgrading import App, Upgradable, is_running, make_address_node


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    found = App("one")
    yield found
    found.close()


def staged(server: Upgradable, app: App) -> Upgradable:
    """With an alias of a server that Roost did not start: only the other steps disturb it."""
    make_address_node(server, "web", [app])
    publish(server, "staging", {"web": 100})
    return server


def short(server: Roost, *flags: str, **more: Any) -> tuple[int, dict[str, Any], str]:
    """A drill of some seconds; exit code, the step that restarts, and what was said."""
    code, report, said = drill(server, "staging", "--step", "300ms", "--path", "/id", "--clients", "2", *flags, **more)
    if report:
        assert report["lost"] == 0 and report["requests"] > 20, (report, said)
        assert [step["name"] for step in report["steps"]][-1] == "restart", report
    return code, report["steps"][-1] if report else {}, said


def process(server: Roost) -> Any:
    return server.get("/v1/server")["processId"]


def test_the_server_is_left_alone_when_asked(make_upgradable: Callable[..., Upgradable], app: App) -> None:
    server = staged(make_upgradable(), app)
    before = process(server)
    code, step, said = short(server, "--no-restart")
    assert code == 0, said
    assert step["state"] == "skipped" and step["note"] == "left out, as --no-restart says" and "restart" not in step, step
    assert process(server) == before


def test_the_server_is_found_without_its_token_file(make_upgradable: Callable[..., Upgradable], app: App) -> None:
    """It tells its data folder itself."""
    server = staged(make_upgradable(), app)
    first = server.pid
    environment = {**server.environment, "ROOST_TOKEN": server.token}
    del environment["ROOST_TOKEN_FILE"]
    code, step, said = short(server, env=environment, cwd="/")
    assert code == 0 and step["state"] == "done", (step, said)
    assert step["restart"]["formerPid"] == first and step["restart"]["pid"] == server.pid != first, step
    assert step["note"].startswith(f"process {server.pid} (roost ") and f"in place of {first}, after " in step["note"]
    assert f"{step['restart']['leftConnections']} connections were left to the old process" in step["note"]
    (event,) = [line for line in server.log.read_text().splitlines() if "another process serves; this one drains" in line]
    assert json.loads(event)["connections"] == step["restart"]["leftConnections"]
    wait_for("the former process ends", lambda: not is_running(first), 90)


def test_websockets_outlive_the_restart(make_upgradable: Callable[..., Upgradable], app: App) -> None:
    server = staged(make_upgradable(), app)
    first = server.pid
    code, report, said = drill(server, "staging", "--step", "1500ms", "--path", "/id", "--websocket", "/ws")
    assert code == 0 and report["lost"] == 0, (report, said)
    assert [form["requests"] for form in report["forms"] if form["name"] == "WebSocket"] == [4], report["forms"]
    step = report["steps"][-1]
    assert step["restart"]["formerProcessDrains"] and ", which still drains 1.5 s later" in step["note"], step
    wait_for("the former process ends with them", lambda: not is_running(first), 90)


def test_another_server_is_never_touched(make_upgradable: Callable[..., Upgradable], app: App) -> None:
    server, other = staged(make_upgradable(), app), make_upgradable()
    before = process(server), process(other)
    code, step, said = short(server, "--data", str(other.data))
    assert code == 0, said
    assert step["state"] == "skipped", step
    assert f"{other.data} is the data folder of another server (process {other.pid})" in step["note"], step
    assert "--restart COMMAND" in step["note"] and str(server.data) in step["note"], step
    code, step, said = short(server, "--data", str(server.data.parent))
    assert step["state"] == "skipped" and f"{server.data.parent}/upgrade.sock: No such file" in step["note"], step
    # The token's file may lie beside another server.
    (other.data / "copy.token").write_text(server.token)
    environment = {**server.environment, "ROOST_TOKEN_FILE": str(other.data / "copy.token")}
    code, step, said = short(server, env=environment)
    assert code == 0 and step["state"] == "done", (step, said)
    assert process(server) != before[0] and process(other) == before[1]


def test_what_a_caller_may_not_do_is_skipped_and_said(make_upgradable: Callable[..., Upgradable], app: App) -> None:
    server = staged(make_upgradable(), app)
    before = process(server)
    server.cli("service-account", "create", "drills", "--role", "developer")
    token = json.loads(server.cli("token", "create", "--service-account", "drills", "-o", "json").stdout)["iamToken"]
    environment = {**server.environment, "ROOST_TOKEN": token}
    del environment["ROOST_TOKEN_FILE"]
    code, step, said = short(server, env=environment)
    assert code == 0 and step["state"] == "skipped", (step, said)
    assert "role 'admin'" in step["note"] and "--restart COMMAND" in step["note"], step
    # Another user of the machine; root may open all there is.
    place = pathlib.Path(tempfile.mkdtemp(prefix="roost-e2e-"))
    try:
        place.chmod(0o755)
        shutil.copy(BINARY, place / "roost")
        socket = server.data / "upgrade.sock"
        socket.chmod(0)
        command = [place / "roost", "drill", "staging", "-o", "json", "--step", "300ms", "--path", "/id"]
        user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        environment["ROOST_TOKEN"] = server.token
        done = subprocess.run(
            command, env={**environment, "HOME": "/nowhere"}, capture_output=True, text=True, timeout=100, cwd="/", **user
        )
        assert done.returncode == 0, done
        step = json.loads(done.stdout)["steps"][-1]
        assert step["state"] == "skipped" and "upgrade.sock: Permission denied" in step["note"], step
        assert "as the user of the service" in step["note"], step
    finally:
        shutil.rmtree(place)
    assert process(server) == before


def test_a_command_of_its_own_restarts_the_server(make_upgradable: Callable[..., Upgradable], app: App) -> None:
    server = staged(make_upgradable(), app)
    first = server.pid
    code, step, said = short(server, "--restart", f"{BINARY} upgrade --data {server.data} >/dev/null")
    assert code == 0 and step["state"] == "done", (step, said)
    assert step["restart"]["formerPid"] == first and step["restart"]["pid"] == server.pid != first, step
    assert f"; by '{BINARY} upgrade" in step["note"] and "leftConnections" not in step["restart"], step
    code, step, said = short(server, "--restart", "exit 3")
    assert code == 1 and step["state"] == "failed" and "sh failed" in step["note"], (step, said)
