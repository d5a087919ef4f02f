"""Environments of container images: a cell node runs on the image's Python, without the engine once it is made."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import engine
import pytest
from conftest import BINARY, ROOT, Roost, send_signal, wait_for
from engine import PASSWORD, REGISTRY, SOCKET
from wheels import wheel

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
CELLS = (
    "import greeting, os, sys\nclass Greeter:\n    def say(self, name):\n        return greeting.greet(name)\ngreeter = Greeter()",
    "said = greeter.say('Ann')\nwhere = [sys.executable, os.path.exists('/marked')]",
)  # fmt: skip


def build(tag: str, prepare: pathlib.Path | None, *packages: str) -> None:
    command = [str(ROOT / "scripts/debian-image"), "--tag", tag, "--change", "ENV LANGUAGE=en"]
    if prepare is not None:
        command += ["--prepare", str(prepare)]
    done = subprocess.run(
        [*command, *packages], env={**os.environ, "DOCKER_HOST": f"unix://{SOCKET}"}, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done


def system_minor() -> str:
    done = subprocess.run(["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=False, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    top = tmp_path_factory.mktemp("server")
    site = tmp_path_factory.mktemp("site")
    made = wheel(top, "greeting", "7.0")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(made), str(site)], check=True)
    prepare = top / "prepare"
    prepare.write_text(
        f"#!/bin/sh\nset -e\ntouch $1/marked\n{sys.executable} -m zipfile -e {made} $1/usr/lib/python3/dist-packages\n"
    )
    prepare.chmod(0o755)
    build("cell-environment:1", prepare, "python3-minimal", "libpython3-stdlib")
    server = Roost(top / "data", "--engine", SOCKET).start()
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(site)
    try:
        server.checkpoint(*CELLS, name="greeter")
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    yield server
    server.close()


@pytest.mark.skipif(system_minor() != MINOR, reason=f"Debian's Python here is {system_minor()}, that of notebooks {MINOR}")
def test_a_cell_runs_on_the_python_and_the_files_of_an_image(server: Roost) -> None:
    made = server.cli("environment", "create", "imaged", "--image", "cell-environment:1", "--wait")
    assert "READY" in made.stdout and "greeting==7.0" in made.stdout, made.stdout
    found = server.get("/v1/environments/imaged")
    assert found["image"].startswith("sha256:") and found["pythonVersion"].startswith(MINOR)
    node = server.node("imaged", checkpoint="greeter", inputs=[], outputs=["said:str", "where:list"], environment="imaged", instances={"count": 2})
    said = server.execute(node, {}).json["output"]
    assert said["said"] == "Ann by 7.0"
    executable, marked = said["where"]
    assert executable == "/usr/bin/python3" and marked, said
    # The forking model and the limits are those of every cell node.
    assert server.status(node)["startMode"].startswith("fork")
    pids = {i["pid"] for i in server.healthy(node, 2)}
    server.kill()
    server.start()
    assert {i["pid"] for i in server.healthy(node, 2)} == pids, "adopted"
    for pid in pids:
        send_signal(pid)
    wait_for("new instances", lambda: not pids & {i["pid"] for i in server.healthy(node, 2)})
    assert server.execute(node, {}).json["output"]["said"] == "Ann by 7.0"
    assert not [c for c in engine.ask("GET", "/containers/json?all=1") if "roost.export" in c["Labels"]], "nothing is left in the engine"
    again = server.cli("environment", "create", "imaged-again", "--image", "cell-environment:1", "--wait")
    assert found["lockDigest"] in again.stdout
    assert "the same environment was made before" in server.cli("environment", "logs", "imaged-again").stdout


@pytest.mark.skipif(system_minor() != MINOR, reason=f"Debian's Python here is {system_minor()}, that of notebooks {MINOR}")
def test_a_private_image_is_got_with_a_user_and_a_secret(server: Roost) -> None:
    image = f"{REGISTRY}/team/cell-environment:1"
    login = base64.urlsafe_b64encode(json.dumps({"username": "json_key", "password": PASSWORD, "serveraddress": REGISTRY}).encode()).decode()
    engine.ask("POST", f"/images/cell-environment:1/tag?repo={REGISTRY}/team/cell-environment&tag=1")
    subprocess.run(
        [
            "curl", "-fsS", "--unix-socket", SOCKET, "-X", "POST", "-H", f"X-Registry-Auth: {login}", "-o", os.devnull,
            f"http://engine/v1.41/images/{REGISTRY}/team/cell-environment/push?tag=1",
        ],
        check=True,
    )  # fmt: skip
    for known in (image, "cell-environment:1"):
        engine.ask("DELETE", f"/images/{known}")
    for name, value in (("right-password", PASSWORD + "\n"), ("wrong-password", "other")):
        subprocess.run([BINARY, "secret", "create", name], env=server.environment, input=value.encode(), check=True, capture_output=True)

    def failure(name: str, **login: str) -> str:
        operation = server.call("POST", "/v1/environments", {"name": name, "image": image, **login}).json
        return str(server.finished(operation["id"], 120)["error"]["message"])

    assert "give the environment --registry-user and --registry-password-secret (passwordSecret)" in failure("no-login")
    said = failure("bad-login", passwordSecret="wrong-password")
    assert "refuses user 'json_key' (registryUser)" in said and "secret 'wrong-password' (passwordSecret) is wrong" in said
    assert "passwordSecret: secret 'no-password' does not exist" in failure("lost-login", passwordSecret="no-password")
    made = server.cli("environment", "create", "private", "--image", image, "--registry-password-secret", "right-password", "--wait")
    assert "READY" in made.stdout and "greeting==7.0" in made.stdout, made.stdout
    assert f"image {REGISTRY}/team/cell-environment@sha256:" in server.cli("environment", "logs", "private").stdout
    node = server.node("private", checkpoint="greeter", inputs=[], outputs=["said:str", "where:list"], environment="private")
    assert server.execute(node, {}).json["output"]["said"] == "Ann by 7.0"
    log = pathlib.Path(server.log).read_text() + server.cli("environment", "logs", "private").stdout
    assert PASSWORD not in log, "a password is told nobody"
    for login, field in (({"registryUser": "x"}, "registryUser"), ({"passwordSecret": "A/"}, "passwordSecret")):
        refused = server.call("POST", "/v1/environments", {"name": "refused", "image": image, **login})
        assert refused.status == 400 and refused.json["field"] == field, refused
    refused = server.call("POST", "/v1/environments", {"name": "refused", "requirements": "a", "passwordSecret": "right-password"})
    assert refused.status == 400 and "give image too" in refused.json["detail"], refused


def reading() -> list[dict[str, Any]]:
    """Containers by which the files of images are read."""
    return [c for c in engine.ask("GET", "/containers/json?all=1") if "roost.export" in c["Labels"]]


def begin(server: Roost, name: str) -> str:
    """Begins an environment; returns when its image is being read, or was."""
    operation = server.call("POST", "/v1/environments", {"name": name, "image": "to-be-cut:1"}).json
    while not reading() and not server.get(f"/v1/operations/{operation['id']}")["done"]:
        pass
    return str(operation["id"])


@pytest.mark.parametrize("cut", ["cancelled", "killed"])
def test_nothing_is_left_of_the_reading_of_an_image_that_was_cut_short(server: Roost, cut: str) -> None:
    build("to-be-cut:1", None, "python3-minimal", "libpython3-stdlib")
    for number in range(20):
        operation = begin(server, f"{cut}-{number}")
        if cut == "killed":
            server.kill()
            was_cut = bool(reading())
            server.start()
        else:
            server.call("POST", f"/v1/operations/{operation}:cancel")
            was_cut = server.finished(operation, 120).get("error", {}).get("code") == 1
        wait_for("nothing is left in the engine", lambda: not reading())
        if was_cut:
            return
    raise AssertionError("no reading of an image was cut short")


def test_an_image_that_can_be_no_environment_says_why(server: Roost) -> None:
    build("no-python:1", None, "busybox")
    cases = [("no-python:1", "there is no python3"), ("nowhere.invalid/x:1", "nowhere.invalid"), ("missing-image:1", "missing-image")]
    for number, (image, words) in enumerate(cases):
        operation = server.call("POST", "/v1/environments", {"name": f"bad-image-{number}", "image": image}).json
        done = server.finished(operation["id"], 120)
        assert words in done["error"]["message"], (image, done)
    refused = server.call("POST", "/v1/environments", {"name": "both", "image": "x", "requirements": "a"})
    assert refused.status == 400 and refused.json["field"] == "image"
    assert list((server.data / "environments/work/building").iterdir()) == []
