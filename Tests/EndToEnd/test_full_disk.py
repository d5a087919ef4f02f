"""A data folder on a file system that is full: changes are refused clearly, calls go on, and space heals it."""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from conftest import Answer, Roost


@pytest.fixture
def small() -> Iterator[pathlib.Path]:
    """A file system of 48 MiB in memory, removed after the test."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-small-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "roost-small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def fill(folder: pathlib.Path) -> pathlib.Path:
    """Takes all that is left, to the last byte that can be written."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
    assert os.statvfs(folder).f_bavail == 0
    return ballast


def test_full_disk_refuses_changes_and_keeps_serving(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    roost = Roost(small / "data")
    roost.log = tmp_path / "log"  # the server's log is not what fills up here
    roost.start()
    ballast: pathlib.Path | None = None
    try:
        roost.checkpoint("x = 1", "y = x + 1", name="adder")
        node = roost.node("adder", inputs=["x:int"], outputs=["y:int"])
        ballast = fill(small)

        newest = roost.get("/v1/checkpoints")["checkpoints"][0]["id"]
        body = {
            "name": "second",
            "checkpoint": "adder",
            "inputs": [{"name": "x", "type": "int"}],
            "outputs": [{"name": "y", "type": "int"}],
        }
        blob = os.urandom(4 << 20)
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"

        def upload() -> Answer:
            return roost.call("PUT", f"/v1/projects/default/blobs/{digest}", raw=blob)

        refused = {
            "upload": upload(),
            "rename": roost.call("POST", f"/v1/checkpoints/{newest}:pin", {"name": "renamed"}),
            "create": roost.call("POST", "/v1/nodes", body),
        }
        for what, answer in refused.items():
            assert answer.status == 429 and answer.json["code"] == "RESOURCE_EXHAUSTED", (what, answer)
            assert "disk" in answer.json["detail"] and "free some space" in answer.json["detail"], (what, answer)
        assert roost.get("/v1/checkpoints")["checkpoints"][0]["name"] == "adder", "nothing was changed"
        for number in range(50):
            answer = roost.execute(node, {"x": number})
            assert answer.status == 200 and answer.json["output"] == {"y": number + 1}, answer

        ballast.unlink()
        ballast = None
        assert upload().status in (200, 201, 204)
        roost.node("second", inputs=["x:int"], outputs=["y:int"], checkpoint="adder")
        assert roost.execute(node, {"x": 1}).json["output"] == {"y": 2}
    finally:
        if ballast:
            ballast.unlink()
        roost.close()
