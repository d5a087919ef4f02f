"""Image nodes on Podman's compatible socket: the same client, its known differences."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import PASSWORD, REGISTRY, SOCKET, containers, left_of

pytestmark = [
    pytest.mark.skipif(not SOCKET, reason=engine.MISSING),
    pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed (scripts/setup installs it)"),
]

QUICK = {"type": "http", "path": "/health", "timeoutSeconds": 2, "intervalSeconds": 0.2, "failsThreshold": 2, "passesThreshold": 1}
# Not raised above what this process has, and without systemd.
CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman:
    """Its service, with storage of its own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.socket = str(folder / "podman.sock")
        (folder / "containers.conf").write_text(CONF)
        (folder / "registries.conf").write_text(f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n')
        self.environment = {
            **os.environ, "CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return ["podman", "--root", str(self.folder / "root"), "--runroot", str(self.folder / "run"), *words]

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command("system", "service", "--time=0", f"unix://{self.socket}"), env=self.environment, stdout=log, stderr=log
            )

        def answers() -> bool:
            assert self.process and self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                engine.ask("GET", "/info", at=self.socket)
                return True
            except OSError:
                return False

        wait_for("podman answers", answers)

    def end(self, number: int = signal.SIGTERM) -> None:
        assert self.process
        self.process.send_signal(number)
        self.process.wait(60)

    def take_image(self) -> None:
        tar = pathlib.Path(__file__).resolve().parents[2] / ".build" / "test-image.tar"
        changes = ['CMD=["/usr/bin/python3","-I","/app/app.py"]', "USER=10001:10001", "ENV=PYTHONUNBUFFERED=1"]
        words = [word for change in changes for word in ("--change", change)]
        command = self.command("import", *words, str(tar), "localhost/testapp:1")
        done = subprocess.run(command, env=self.environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-podman."))
    service = Podman(folder)
    try:
        service.take_image()
        service.start()
        yield service
        if service.process and service.process.poll() is None:
            service.end()
    finally:
        subprocess.run(service.command("rm", "--all", "--force"), env=service.environment, check=False, capture_output=True)
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            mounted = line.split()[1]
            if mounted.startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", mounted], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(make_server: Callable[..., Roost], podman: Podman) -> Roost:
    return make_server("--engine", podman.socket)


def begin(server: Roost, name: str, image: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    asked = {"reference": "localhost/testapp:1", "port": 8080, "drainSeconds": 1, "stopSeconds": 2, **image}
    body = {"name": name, "kind": "image", "image": asked, "memoryBytes": 128 << 20, "cpus": 1, "healthCheck": QUICK, **more}
    answer = server.call("POST", "/v1/nodes", body)
    assert answer.status == 202, answer
    return str(answer.json["resourceId"]), server.finished(answer.json["id"], 180)


def make(server: Roost, name: str, image: dict[str, Any] | None = None, **more: Any) -> str:
    node, done = begin(server, name, image or {}, **more)
    assert "error" not in done, done
    return node


def get(server: Roost, node: str, path: str) -> Any:
    return server.call("GET", path, headers={"x-node-id": node, "x-folder-id": server.folder})


def test_an_image_answers_rolls_over_and_leaves_nothing_behind(server: Roost, podman: Podman) -> None:
    node = make(server, "web", {"environment": {"APP_RELEASE": "1"}, "diskGigabytes": 10}, instances={"count": 2})
    found = server.healthy(node, 2)
    assert get(server, node, "/id").json["env"]["APP_RELEASE"] == "1"
    assert len(containers(node, podman.socket)) == 2
    details = engine.ask("GET", f"/containers/roost-{found[0]['id']}/json", at=podman.socket)
    assert details["HostConfig"]["Memory"] == 128 << 20 and details["HostConfig"]["ReadonlyRootfs"]
    wait_for("its lines are in the node's log", lambda: sum("listening" in line["message"] for line in server.logs(node)) == 2)
    server.cli("node", "update", "web", "--env", "APP_RELEASE=2", "--wait")
    assert get(server, node, "/id").json["env"]["APP_RELEASE"] == "2"
    wait_for("the former ones are gone", lambda: len(containers(node, podman.socket)) == 2)
    server.cli("node", "delete", "web", "--yes", "--wait")
    assert left_of(node, podman.socket) == []


def test_a_container_that_ends_is_told_and_replaced(server: Roost, podman: Podman) -> None:
    node = make(server, "web")
    first = server.healthy(node, 1)[0]["id"]
    get(server, node, "/crash?code=9")
    wait_for("another serves", lambda: [i["id"] for i in server.healthy(node, 1)] != [first])
    said = server.status(node)["lastError"]["message"]
    assert "exit code 9" in said and "crash requested" in said, said
    server.cli("node", "delete", "web", "--yes", "--wait")
    assert left_of(node, podman.socket) == []


def test_containers_outlive_podmans_service_and_the_server(server: Roost, podman: Podman) -> None:
    node = make(server, "web")
    first = server.healthy(node, 1)[0]["id"]
    podman.end(signal.SIGKILL)
    wait_for("it is told", lambda: [c for c in server.status(node)["conditions"] if c["type"] == "Engine" and not c["status"]])
    assert get(server, node, "/id").status == 200
    server.kill()
    podman.start()
    server.start()
    assert [i["id"] for i in server.healthy(node, 1)] == [first]
    assert get(server, node, "/id").json["host"] == first
    server.cli("node", "delete", "web", "--yes", "--wait")
    assert left_of(node, podman.socket) == []


def test_a_registry_is_asked_with_the_password(server: Roost, podman: Podman) -> None:
    reference = f"{REGISTRY}/team/testapp:1"
    for name, value in (("right", PASSWORD), ("wrong", "no")):
        assert server.call("POST", "/v1/secrets", {"name": name, "value": value}).status == 201
    node = make(server, "pulled", {"reference": reference, "passwordSecret": "right"})
    image = next(c for c in server.status(node)["conditions"] if c["type"] == "Image")
    assert f"{REGISTRY}/team/testapp@sha256:" in image["message"], image
    # Also where the image is here already.
    refused, done = begin(server, "refused", {"reference": reference, "passwordSecret": "wrong"})
    assert "the registry" in done["error"]["message"] and "password" in done["error"]["message"], done
    missing, done = begin(server, "missing", {"reference": f"{REGISTRY}/team/nothing:1", "passwordSecret": "right"})
    assert "team/nothing:1" in done["error"]["message"], done
    for made in (node, refused, missing):
        server.call("DELETE", f"/v1/nodes/{made}")
        wait_for("nothing is left", lambda made=made: left_of(made, podman.socket) == [])


def test_json_of_podman(podman: Podman) -> None:
    """What the client relies on to know that it is Podman."""
    out = subprocess.run(
        ["curl", "-sS", "-D", "-", "--unix-socket", podman.socket, "http://podman/_ping"], check=True, capture_output=True, text=True
    ).stdout
    assert "libpod-api-version" in out.lower(), json.dumps(out)
