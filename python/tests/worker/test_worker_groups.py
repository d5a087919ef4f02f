"""Instances enter their cgroups by themselves: by writing `0` into the files that come with `start`."""

from __future__ import annotations

import array
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest


def start_inside(running, files: list[int], announced: int | None = None, name: str = "ins1") -> Any:
    """A `start` with descriptors."""
    count = len(files) if announced is None else announced
    line = json.dumps({"op": "start", "instance": name, "groups": count}).encode() + b"\n"
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    running.control.sock.sendmsg([line], rights)
    return running.control.receive()


@pytest.fixture
def members(tmp_path):
    """Files in place of those of two groups, and their descriptors."""
    paths = [tmp_path / "cpu-tasks", tmp_path / "memory-tasks"]
    files = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in paths]
    yield paths, files
    for file in files:
        os.close(file)


def held(pid: int, paths: list[Path]) -> list[str]:
    """Which of the files a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    targets = [os.readlink(folder / name) for name in os.listdir(folder) if os.path.lexists(folder / name)]
    return [target for target in targets if target in map(str, paths)]


@pytest.mark.parametrize("mode", ["fork", "spawn"])
def test_an_instance_enters_all_its_groups_and_keeps_none_of_their_files(checkpoint, zygote, members, mode):
    paths, files = members
    running = zygote(checkpoint("out = 5"), startMode=mode)
    answer = start_inside(running, files)
    assert answer["ok"], answer
    assert [path.read_text() for path in paths] == ["0", "0"]
    assert held(answer["pid"], paths) == held(running.process.pid, paths) == []
    client = running.connect()
    client.begin()
    assert client.call({}) == {"out": 5}


class RegistersHook:
    """State whose restore asks for a call in every forked child."""

    def __init__(self, group: str, seen: str) -> None:
        self.names = (group, seen)

    def __reduce__(self) -> Any:
        code = "import os\nos.register_at_fork(after_in_child=lambda: open({1!r}, 'a').write(open({0!r}).read()))"
        return exec, (code.format(*self.names),)


def test_the_group_is_entered_before_any_code_of_the_state_runs(checkpoint, zygote, members, tmp_path):
    paths, files = members
    seen = tmp_path / "seen"
    made = checkpoint("out = state")
    made.group(state=RegistersHook(str(paths[1]), str(seen)))
    running = zygote(made)
    assert start_inside(running, files)["ok"]
    assert seen.read_text() == "0"


@pytest.mark.parametrize("mode", ["fork", "spawn"])
def test_an_instance_that_can_not_enter_its_group_is_no_instance(checkpoint, zygote, members, mode):
    paths, files = members
    running = zygote(checkpoint("out = 5"), startMode=mode)
    reading = os.open(paths[1], os.O_RDONLY)
    answer = start_inside(running, [files[0], reading])
    os.close(reading)
    assert not answer["ok"]
    assert answer["error"]["errorMessage"] == (
        "instance ins1: the instance can't enter its cgroup: Bad file descriptor"
    )
    assert running.op("info")["instances"][0]["state"] == "exited"
    assert not (running.sockets / "ins1.sock").exists()
    assert running.op("forget", "ins1")["ok"]
    assert start_inside(running, files)["ok"]


def test_descriptors_that_did_not_come_are_missed(checkpoint, zygote, members):
    paths, files = members
    running = zygote(checkpoint("out = 5"))
    answer = start_inside(running, files[:1], announced=2)
    assert answer["error"]["errorMessage"].startswith("groups: 2 descriptors were announced, 1 came")
    assert running.op("info")["instances"] == []
    assert held(running.process.pid, paths) == []


def test_an_instance_does_not_keep_what_came_for_another(checkpoint, zygote, members):
    """Descriptors of requests that still wait on other connections stay the zygote's."""
    paths, files = members
    running = zygote(checkpoint("out = 5"))
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(running.sockets / "zygote.sock"))
    with other:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        other.sendmsg([b'{"op":"start","instance":"ins2",'], rights)
        answer = running.op("start", "ins1")
        assert answer["ok"]
        assert held(answer["pid"], paths) == []
        other.sendall(b'"groups":2}\n')
        assert json.loads(other.recv(4096))["ok"]
    assert [path.read_text() for path in paths] == ["0", "0"]
