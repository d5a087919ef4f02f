"""Logs: put aside when they grow, followed without a gap, kept for a while after their node."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable

from conftest import BINARY, Roost, wait_for


def test_a_followed_log_has_every_line_once_though_its_files_are_put_aside(
    make_server: Callable[..., Roost], tmp_path: pathlib.Path
) -> None:
    server = make_server("--log-file-size", "16KiB", "--log-files", "1000")
    server.checkpoint("n = 0", "for i in range(20):\n    print('line', n * 20 + i, '.' * 200)\nok = True", name="talker")
    node = server.node("talker", inputs=["n:int"], outputs=["ok:bool"], warmUp="off")
    out = tmp_path / "followed"
    with open(out, "wb") as file:
        follower = subprocess.Popen([BINARY, "node", "logs", "talker", "-f"], env=server.environment, stdout=file)
    try:
        wait_for("the follower has begun", lambda: b"restored the checkpoint" in out.read_bytes())
        folder = server.data / "logs" / node

        def aside() -> list[pathlib.Path]:
            return list(folder.glob("node.*.jsonl"))

        count = 0
        # Rotation looks once a second: requests go on until it has happened several times.
        while len(aside()) < 3 and count < 5000:
            assert server.execute(node, {"n": count}).status == 200
            count += 1
        assert len(aside()) >= 3

        def numbers() -> list[int]:
            lines = out.read_text().splitlines()
            return [int(line.split(" line ")[1].split()[0]) for line in lines if " line " in line]

        wait_for("every line was followed", lambda: len(numbers()) >= count * 20)
        assert numbers() == list(range(count * 20))
    finally:
        follower.kill()
        follower.wait()
    # The newest lines are shown from all files together.
    shown = server.cli("node", "logs", "talker", "--tail", "300").stdout.splitlines()
    assert len(shown) == 300 and f" line {count * 20 - 1} " in shown[-1]


def test_logs_outlive_their_node_for_a_while(make_server: Callable[..., Roost]) -> None:
    server = make_server("--log-files", "1")
    server.checkpoint("n = 0", "ok = True", name="short")
    node = server.node("short", inputs=[], outputs=["ok:bool"])
    other = server.node("other", checkpoint="short", inputs=[], outputs=["ok:bool"])
    server.cli("node", "delete", "short", "--yes", "--wait")
    assert (server.data / "logs" / node / "node.jsonl").exists()
    server.stop()
    server.flags = ("--deleted-log-age", "0s")
    server.start()
    wait_for("its log is gone", lambda: not (server.data / "logs" / node).exists())
    assert (server.data / "logs" / other / "node.jsonl").exists()
    assert (server.data / "logs" / "access.jsonl").exists()


def test_flags_of_logs_name_what_is_wrong(tmp_path: pathlib.Path) -> None:
    for flags, words in [
        (["--log-file-size", "100"], "--log-file-size: must be at least 4KiB"),
        (["--log-files", "0"], "--log-files: 0 must be at least 1"),
        (["--deleted-log-age", "soon"], "--deleted-log-age"),
    ]:
        done = subprocess.run([BINARY, "serve", "--data", tmp_path / "d", *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and words in done.stderr, done
