"""Logs: put aside when they grow, followed without a gap, kept for a while after their node."""

from __future__ import annotations

import json
import pathlib
import subprocess
import urllib.parse
from collections.abc import Callable
from typing import Any

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
    # It is read by name and by id, and again after a restart; nobody else's folder shows it.
    listed = server.get("/v1/deleted-nodes")["deletedNodes"]
    assert [one["id"] for one in listed] == [node] and listed[0]["logBytes"] > 0
    assert node in server.cli("node", "list", "--deleted").stdout
    server.stop()
    server.start()
    for key in ("short", node):
        assert "restored the checkpoint" in server.cli("node", "logs", key, "--tail", "1000").stdout
    # A new node of the name has a log of its own; the former one's is there by id.
    again = server.node("short", inputs=[], outputs=["ok:bool"])
    assert again != node
    assert {line.get("instance") for line in lines(server, "short")}.isdisjoint(
        {line.get("instance") for line in lines(server, node)} - {None}
    )
    server.stop()
    server.flags = ("--deleted-log-age", "0s")
    server.start()
    wait_for("its log is gone", lambda: not (server.data / "logs" / node).exists())
    wait_for("it is forgotten", lambda: not server.get("/v1/deleted-nodes")["deletedNodes"], seconds=90)
    refused = server.call("GET", f"/v1/nodes/{node}/logs")
    assert refused.status == 404 and "no node" in refused.json["detail"]
    assert (server.data / "logs" / other / "node.jsonl").exists()
    assert (server.data / "logs" / "access.jsonl").exists()


def lines(server: Roost, node: str) -> list[dict[str, Any]]:
    """The newest lines of a node's log."""
    return list(server.get(f"/v1/nodes/{node}/logs?tail=1000")["lines"])


def test_flags_of_logs_name_what_is_wrong(tmp_path: pathlib.Path) -> None:
    for flags, words in [
        (["--log-file-size", "100"], "--log-file-size: must be at least 4KiB"),
        (["--log-files", "0"], "--log-files: 0 must be at least 1"),
        (["--log-age", "soon"], "--log-age"),
        (["--folder-log-size", "much"], "--folder-log-size"),
        (["--deleted-log-age", "soon"], "--deleted-log-age"),
    ]:
        done = subprocess.run([BINARY, "serve", "--data", tmp_path / "d", *flags], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and words in done.stderr, done


def test_lines_are_chosen_by_the_server_also_from_files_that_were_put_aside(make_server: Callable[..., Roost]) -> None:
    server = make_server("--log-file-size", "8KiB", "--log-files", "1000")
    cell = "import sys\nprint('info number', n, 'café')\nprint('ERROR code=50%d' % (n % 10), file=sys.stderr)\nok = True"
    server.checkpoint("n = 0", cell, name="chosen")
    node = server.node("chosen", inputs=["n:int"], outputs=["ok:bool"], warmUp="off")
    middle = ""
    requests = {}
    for n in range(150):
        answer = server.execute(node, {"n": n})
        requests[n] = answer.headers["x-request-id"]
        if n == 74:
            wait_for("half of the lines", lambda: len(messages(server, node, "tail=1000&grep=info")) == 75)
            wait_for("a file put aside", lambda: list((server.data / "logs" / node).glob("node.*.jsonl")))
            middle = str(server.get(f"/v1/nodes/{node}/logs?tail=1")["lines"][0]["time"])
    wait_for("all lines", lambda: len(messages(server, node, "tail=1000&grep=info")) == 150)
    info = messages(server, node, "tail=1000&grep=" + urllib.parse.quote("^info number [0-9]+ caf.$"))
    assert [int(m.split()[2]) for m in info] == list(range(150)), "in order, each once"
    assert messages(server, node, "tail=2&grep=code%3D50[37]%24") == ["ERROR code=503", "ERROR code=507"]
    assert len(messages(server, node, "tail=1000&stream=stderr&grep=(%3Fi)error")) == 150
    assert messages(server, node, "tail=1000&grep=error") == []
    assert messages(server, node, f"request={requests[33]}") == ["info number 33 café", "ERROR code=503"]
    assert len(messages(server, node, f"tail=1000&since={middle}&grep=info")) in (75, 76)
    assert len(messages(server, node, f"tail=1000&until={middle}&grep=info")) in (74, 75)
    assert len(messages(server, node, "tail=1000&since=3600&grep=info")) == 150
    assert messages(server, node, "tail=1000&release=2") == []
    # A cursor of a chosen page goes on where it ended.
    page = server.get(f"/v1/nodes/{node}/logs?tail=1&grep=info")
    server.execute(node, {"n": 1000})
    found: list[str] = []

    def follow() -> bool:
        nonlocal page
        page = server.get(f"/v1/nodes/{node}/logs?after={page['cursor']}&grep=info&wait=5")
        found.extend(line["message"] for line in page["lines"])
        return bool(found)

    wait_for("the next line", follow)
    assert found == ["info number 1000 café"]

    first = server.instances(node)[0]["id"]
    server.cli("node", "reset", "chosen", "--wait")
    assert server.instances(node)[0]["id"] != first
    server.execute(node, {"n": 2000})
    wait_for("the new instance's", lambda: messages(server, node, "grep=2000"))
    gone = server.get(f"/v1/nodes/{node}/logs?tail=10000&previous=true&stream=stdout")["lines"]
    assert {line["instance"] for line in gone} == {first} and len(gone) == 151
    shown = server.cli("node", "logs", "chosen", "--previous", "--grep", "number 1000", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["instance"] for line in shown] == [first]
    assert len(server.cli("node", "logs", "chosen", "--since", "1h", "--stream", "stderr").stdout.splitlines()) == 152
    for query, words in [
        ("grep=(", "has a ( without a )"), ("grep=" + "a" * 600, "at most 512"), ("since=soon", "seconds back from now"),
        ("release=x", "release"), ("previous=yes", "true or false"), ("since=2026-13-01T00:00:00Z", "since"),
    ]:  # fmt: skip
        answer = server.call("GET", f"/v1/nodes/{node}/logs?{query}")
        assert answer.status == 400 and words in answer.json["detail"], answer
    done = server.cli("node", "logs", "chosen", "-f", "--until", "1m", check=False)
    assert done.returncode == 2 and "leave one of the two out" in done.stderr


def messages(server: Roost, node: str, query: str) -> list[str]:
    return [line["message"] for line in server.get(f"/v1/nodes/{node}/logs?{query}")["lines"]]
