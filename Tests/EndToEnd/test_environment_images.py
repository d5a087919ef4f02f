"""Environments of container images: a cell node runs on the image's Python, without the engine once it is made."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import engine
import pytest
from conftest import ROOT, Roost, send_signal, wait_for
from engine import SOCKET
from wheels import wheel

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

MINOR = "%d.%d" % sys.version_info[:2]
CELLS = (
    "import greeting, os, sys\nclass Greeter:\n    def say(self, name):\n        return greeting.greet(name)\ngreeter = Greeter()",
    "said = greeter.say('Ann')\nwhere = [sys.executable, os.path.exists('/marked')]",
)  # fmt: skip


def build(tag: str, prepare: pathlib.Path | None, *packages: str) -> None:
    command = [str(ROOT / "scripts/debian-image"), "--tag", tag, "--change", "ENV LANGUAGE=en"]
    if prepare is not None:
        command += ["--prepare", str(prepare)]
    done = subprocess.run(
        [*command, *packages], env={**os.environ, "DOCKER_HOST": f"unix://{SOCKET}"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done


def system_minor() -> str:
    done = subprocess.run(["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
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
