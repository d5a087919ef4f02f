"""Sizes of instances' files: held to by engines whose storage can, and the truth where it can't."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import engine
import pytest
from conftest import Roost, wait_for
from engine import SOCKET, left_of
from test_image_nodes import images, make
from test_zones import BRIDGE, PATH, SecondEngine

pytestmark = pytest.mark.skipif(not SOCKET, reason=engine.MISSING)

# Takes room in steps, without writing it; ends with the number of the error.
FILL = """
import os, sys
try:
  with open(sys.argv[1], "wb", 0) as file:
    for step in range(int(sys.argv[2]) >> 26): os.posix_fallocate(file.fileno(), step << 26, 1 << 26)
except OSError as error: sys.exit(error.errno)
"""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
WRITABLE = {"readOnlyRoot": False, "runAs": "0:0", "diskGigabytes": 10}


@pytest.fixture(scope="module", params=["btrfs", "xfs"])
def sized(request: pytest.FixtureRequest) -> Iterator[tuple[str, SecondEngine, pathlib.Path]]:
    """An engine whose folder is on a file system of its own that can hold containers to sizes."""
    kind = str(request.param)
    environment = {**os.environ, "PATH": PATH}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-sized."))
    image = folder.with_suffix(".img")
    image.touch()
    os.truncate(image, 64 << 30)
    other = SecondEngine(folder)
    try:
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True, env=environment, stderr=subprocess.DEVNULL)
        options = "loop,pquota" if kind == "xfs" else "loop"
        mounted = subprocess.run(["mount", "-o", options, image, folder], check=False, env=environment, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"this kernel can't mount {kind} with {options}: {mounted.stderr.strip().splitlines()[0]}")
        for words in (["link", "add", BRIDGE, "type", "bridge"], ["addr", "add", "172.31.8.1/24", "dev", BRIDGE], ["link", "set", BRIDGE, "up"]):
            subprocess.run(["ip", *words], check=True, env=environment)
        other.start()
        other.take_image()
        yield kind, other, folder
    finally:
        if other.process and other.process.poll() is None:
            other.end()
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False, env=environment, capture_output=True)
        lines = pathlib.Path("/proc/mounts").read_text().splitlines()
        for line in reversed(lines):
            if line.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        if any(line.split()[1] == str(folder) for line in lines):
            wait_for("the file system is let go", lambda: subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0)
        shutil.rmtree(folder, ignore_errors=True)
        image.unlink()


@pytest.fixture
def server(make_server: Callable[..., Roost], sized: tuple[str, SecondEngine, pathlib.Path]) -> Roost:
    return make_server("--engine", sized[1].socket)


def condition(server: Roost, node: str) -> dict[str, Any]:
    return dict(next(c for c in server.status(node)["conditions"] if c["type"] == "Disk"))


def limits(server: Roost, node: str) -> dict[str, str]:
    return {limit["name"]: limit["origin"] for limit in server.get(f"/v1/nodes/{node}")["limits"]}


def fill(instance: str, path: str, gigabytes: int, at: str) -> int:
    """The exit code of a process in the container that takes so much: 0 or an error's number."""
    command = ["/usr/bin/python3", "-c", FILL, path, str(gigabytes << 30)]
    made = engine.ask("POST", f"/containers/roost-{instance}/exec", {"Cmd": command}, at=at)["Id"]
    engine.ask("POST", f"/exec/{made}/start", {"Detach": True}, at=at)
    wait_for("it ended", lambda: not engine.ask("GET", f"/exec/{made}/json", at=at)["Running"])
    return int(engine.ask("GET", f"/exec/{made}/json", at=at)["ExitCode"])


def test_an_instance_that_takes_more_than_its_size_harms_only_itself(server: Roost, sized: tuple[str, SecondEngine, pathlib.Path]) -> None:
    kind, other, folder = sized
    node = make(server, "sized", {**WRITABLE, "rootDiskGigabytes": 1}, instances={"count": 2})
    first, second = sorted(i["id"] for i in server.instances(node))
    assert fill(first, "/more", 3, other.socket) in NO_ROOM, "the image's own files"
    assert fill(second, "/enough", 0, other.socket) == 0
    assert fill(second, "/some", 1, other.socket) in (0, *NO_ROOM)
    if kind == "xfs":
        assert fill(first, "/disk/more", 12, other.socket) in NO_ROOM, "the volume"
        assert fill(second, "/disk/most", 9, other.socket) == 0
    room = os.statvfs(folder)
    assert room.f_bavail * room.f_frsize > 20 << 30, "others have room"
    seen = {images(server, node, "GET", "/id").json["host"] for _ in range(40)}
    assert seen == {first, second}, "both go on"
    said, found = condition(server, node), limits(server, node)
    assert "NOT" not in found["own files per instance"]
    if kind == "xfs":
        assert (said["status"], said["reason"]) == (True, "Enforced"), said
        assert "NOT" not in found["disk per instance"]
    else:
        assert (said["status"], said["reason"]) == (False, "NotEnforced"), said
        assert "10 GB at /disk: volumes have sizes only where" in said["message"] and "own files" not in said["message"]
        assert "NOT enforced: volumes" in found["disk per instance"]
    server.cli("node", "delete", node, "--yes")
    wait_for("nothing is left", lambda: not left_of(node, other.socket))


def test_an_engine_that_knows_no_sizes_is_not_believed_to(make_server: Callable[..., Roost]) -> None:
    facts = engine.ask("GET", "/info")
    if facts["Driver"] != "overlay2" or ["Backing Filesystem", "xfs"] in facts["DriverStatus"]:
        pytest.skip(f"this engine may know sizes: {facts['Driver']} {facts['DriverStatus']}")
    server = make_server("--engine", SOCKET)
    node = make(server, "open", WRITABLE)
    said, found = condition(server, node), limits(server, node)
    assert (said["status"], said["reason"]) == (False, "NotEnforced"), said
    assert "10 GB at /disk: volumes have sizes only where" in said["message"]
    assert "10 GB of the image's own files: storage driver overlay2 on " in said["message"]
    assert "NOT enforced" in found["disk per instance"] and "NOT enforced" in found["own files per instance"]
    assert any("is not enforced" in line["message"] for line in server.logs(node))
    plain = make(server, "plain")
    assert all(c["type"] != "Disk" for c in server.status(plain)["conditions"])
    refused = server.call(
        "POST", "/v1/nodes", {"name": "refused", "kind": "image", "image": {"reference": "testapp:1", "port": 8080, "rootDiskGigabytes": 5}}
    )
    assert refused.status == 400 and "image.rootDiskGigabytes: the image's files can't be changed" in refused.json["detail"]
