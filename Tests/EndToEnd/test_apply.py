"""Nodes by files: apply creates, changes and leaves alone; diff shows; what is wrong in a file is named with its place."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from conftest import BINARY, Roost

NODE = """\
# A cell behind an API.
kind: cell
name: doubler
checkpoint: doubled
inputs:
- {name: x, type: int}
outputs:
- name: out
  type: int
instances: {count: 2}
"""
SERVERS = """\
kind: address
name: servers
addresses:
- address: 127.0.0.1:9
- address: 127.0.0.1:10
  zone: a
healthCheck: {type: http, path: /healthz, intervalSeconds: 60}
"""


@pytest.fixture(scope="module")
def server(roost: Roost) -> Roost:
    roost.checkpoint("x = 1", "out = x * 2", name="doubled")
    return roost


def stdin(server: Roost, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BINARY, *words], input=text, env=server.environment, capture_output=True, text=True, timeout=120)


def test_a_file_creates_then_is_unchanged_then_changes(server: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(f"{NODE}---\n{SERVERS}")
    seen = server.cli("apply", "-f", path, "--dry-run").stdout
    assert seen == "node doubler: would be created\nnode servers: would be created\n"
    assert not server.get("/v1/nodes")["nodes"], "a dry run makes nothing"
    path.write_text(NODE)
    assert server.cli("apply", "-f", path, "--wait").stdout.startswith("node doubler: created (operation ")
    node = server.get("/v1/nodes/doubler")["id"]
    assert server.execute(node, {"x": 4}).json["output"] == {"out": 8}
    assert server.cli("apply", "-f", path).stdout == "node doubler: unchanged\n"
    assert stdin(server, SERVERS, "apply", "-f", "-").stdout.startswith("node servers: created")

    path.write_text(NODE.replace("count: 2", "count: 1") + "memoryBytes: 1073741824\nrollOut: {surge: 2}\n")
    seen = server.cli("diff", "-f", path).stdout
    assert seen.splitlines()[0] == "node doubler: would be changed, a new release"
    assert "  - instances.count: 2\n  + instances.count: 1" in seen and "  + memoryBytes: 1073741824" in seen
    assert server.get("/v1/nodes/doubler")["status"]["release"] == 1, "a diff changes nothing"
    seen = server.cli("apply", "-f", path, "--wait").stdout
    assert seen.startswith("node doubler: changed, a new release (operation ")
    assert server.get("/v1/nodes/doubler")["status"]["release"] == 2
    assert server.cli("diff", "-f", path).stdout == "node doubler: unchanged\n"


@pytest.mark.parametrize("name", ["doubler", "servers"])
def test_what_get_prints_applies_to_no_change_and_makes_a_twin(server: Roost, tmp_path: pathlib.Path, name: str) -> None:
    text = server.cli("node", "get", name, "-o", "yaml").stdout
    assert text.startswith("kind: ")
    path = tmp_path / "node.yaml"
    path.write_text(text)
    assert server.cli("apply", "-f", path).stdout == f"node {name}: unchanged\n"
    path.write_text(text.replace(f"name: {name}\n", f"name: {name}-twin\n"))
    assert server.cli("apply", "-f", path).stdout.startswith(f"node {name}-twin: created")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NODE.replace("checkpoint:", "chekpoint:"), "4:1: chekpoint: unknown field; did you mean 'checkpoint'?"),
        (NODE.replace("{count: 2}", "{cuont: 2}"), "10:13: instances.cuont: unknown field; did you mean 'count'?"),
        (NODE.replace("  type: int\n", "  typ: int\n"), "8:3: outputs[0].type: missing"),
        (NODE.replace("{count: 2}", "{count: two}"), "10:13: instances.count: "),
        (NODE.replace("count: 2", "count: 2, max: 1"), "10:"),
        (NODE.replace("kind: cell", "kind: cel"), "2:1: kind: 'cel' is not known; use one of cell, address, image, model, alias; did you mean 'cell'?"),
        (NODE.replace("name: doubler", "name: Doubler"), "3:1: name: "),
        (NODE.replace("checkpoint: doubled", "checkpoint: nothing"), "4:1: checkpoint: 'nothing' is neither"),
        (NODE.replace("kind: cell\n", ""), "2:1: kind: missing"),
        (NODE + "name: again\n", "11:1: 'name' is there twice (first in line 3)"),
        (NODE + "description: *x\n", "11:14: '*' names another part"),
        (NODE + "description: a: b\n", "11:15: mapping values are not allowed"),
        ("- 1\n", "1:1: a document must be a map"),
        (f"{NODE}---\n{NODE}", "name: 'doubler' is there twice (also "),
        (NODE.replace("kind: cell", "kind: address"), "4:1: checkpoint: belongs to nodes of kind cell"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_line_and_column(server: Roost, tmp_path: pathlib.Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    for words in (("apply",), ("diff",), ("apply", "--dry-run")):
        done = server.cli(*words, "-f", path, check=False)
        assert done.returncode in (1, 2, 3) and f"{path}:" in done.stderr and said in done.stderr, done.stderr


def test_nothing_is_done_when_one_document_is_wrong(server: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(SERVERS.replace("servers", "first-one") + "---\n" + NODE.replace("doubler", "second-one").replace("doubled", "no"))
    assert server.cli("apply", "-f", path, check=False).returncode == 3
    assert not {"first-one", "second-one"} & {node["name"] for node in server.get("/v1/nodes")["nodes"]}


def test_a_kind_does_not_change(server: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "kind.yaml"
    path.write_text(SERVERS.replace("name: servers", "name: doubler"))
    said = server.cli("apply", "-f", path, check=False).stderr
    assert f"{path}:1:1: kind: node 'doubler' is of kind cell" in said


# Aliases


ALIAS = """\
kind: alias
name: front
description: in front of two
shares:
- {node: left, weight: 90}
- node: right
  weight: 10
sticky: {by: header, name: X-User}
rules:
- {node: right, header: x-beta}
metadata: {team: a}
showNode: true
"""
LEFT = SERVERS.replace("name: servers", "name: left")
RIGHT = SERVERS.replace("name: servers", "name: right")


def test_an_alias_and_its_nodes_come_from_one_file(server: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "all.yaml"
    # The alias stands before its nodes.
    path.write_text(f"{ALIAS}---\n{LEFT}---\n{RIGHT}")
    seen = server.cli("apply", "-f", path, "--dry-run").stdout
    assert seen == "alias front: would be created\nnode left: would be created\nnode right: would be created\n"
    assert not server.get("/v1/aliases")["aliases"]
    lines = server.cli("apply", "-f", path).stdout.splitlines()
    assert lines[0].startswith("node left: created") and lines[2] == "alias front: created"
    found = server.get("/v1/aliases/front")
    assert [(share["nodeName"], share["weight"]) for share in found["shares"]] == [("left", 90), ("right", 10)]
    assert found["spec"]["sticky"] == {"by": "header", "name": "x-user"} and found["spec"]["metadata"] == {"team": "a"}
    assert server.cli("apply", "-f", path).stdout.endswith("alias front: unchanged\n")
    assert server.get("/v1/aliases/front")["generation"] == found["generation"]

    changed = ALIAS.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50").replace("metadata: {team: a}\n", "access: public\n")
    path.write_text(changed)
    seen = server.cli("diff", "-f", path).stdout
    assert seen.splitlines()[0] == "alias front: would be changed"
    for part in ("- shares[0].weight: 90\n  + shares[0].weight: 50", "- metadata.team: a", "- access: private\n  + access: public"):
        assert part in seen, seen
    assert server.get("/v1/aliases/front")["generation"] == found["generation"], "a diff changes nothing"
    assert server.cli("apply", "-f", path).stdout == "alias front: changed\n"
    assert server.get("/v1/aliases/front")["spec"]["metadata"] == {}, "what a file leaves out gets its default"


def test_what_alias_get_prints_applies_to_no_change_and_makes_a_twin(server: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "alias.yaml"
    path.write_text(f"{LEFT}---\n{RIGHT}---\n{ALIAS}")
    server.cli("apply", "-f", path)
    text = server.cli("alias", "get", "front").stdout
    assert text.startswith("kind: alias\nname: front\n")
    path.write_text(text)
    assert server.cli("apply", "-f", path).stdout == "alias front: unchanged\n"
    path.write_text(text.replace("name: front\n", "name: front-twin\n"))
    assert server.cli("apply", "-f", path).stdout == "alias front-twin: created\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ALIAS.replace("shares:", "sahres:"), "1:1: shares: missing; it is required; did you mean it by 'sahres'?"),
        (ALIAS.replace("{node: left, weight: 90}", "{node: left, wieght: 90}"), "5:3: shares[0].weight: missing; it is required; did you mean it by 'wieght'?"),
        (ALIAS.replace("showNode", "shwoNode"), "12:1: shwoNode: unknown field; did you mean 'showNode'?"),
        (ALIAS.replace("header: x-beta", "haeder: x-beta"), "10:17: rules[0].haeder: unknown field; did you mean 'header'?"),
        (ALIAS.replace("weight: 90", "weight: 80"), "4:1: shares: the weights sum to 90, not to 100"),
        (ALIAS.replace("node: left,", "node: lefty,"), "5:4: shares[0].node: no node 'lefty'"),
        (ALIAS.replace("by: header", "by: heart"), "8:10: sticky.by: "),
        (ALIAS.replace("name: X-User", ""), "8:"),
        (ALIAS.replace("name: front", "name: Front"), "2:1: name: "),
        (ALIAS.replace("kind: alias", "kind: alas"), "1:1: kind: 'alas' is not known; use one of cell, address, image, model, alias; did you mean 'alias'?"),
        (ALIAS + "access: secret\n", "13:1: access: 'secret' must be private or public"),
        (f"{ALIAS}---\n{ALIAS}", "name: 'front' is there twice (also "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_alias_is_named_with_its_place(server: Roost, tmp_path: pathlib.Path, text: str, said: str) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(f"{LEFT}---\n{RIGHT}")
    server.cli("apply", "-f", path)
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    for words in (("apply",), ("diff",), ("apply", "--dry-run")):
        done = server.cli(*words, "-f", path, check=False)
        assert done.returncode in (1, 2, 3) and f"{path}:" in done.stderr and said in done.stderr, done.stderr


def test_a_wrong_alias_in_front_of_new_nodes_is_refused_before_they_are_made(server: Roost, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "all.yaml"
    nodes = LEFT.replace("left", "new-left") + "---\n" + RIGHT.replace("right", "new-right")
    alias = ALIAS.replace("left", "new-left").replace("right", "new-right").replace("front", "new-front")
    path.write_text(f"{nodes}---\n{alias.replace('weight: 90', 'weight: 80')}")
    said = server.cli("apply", "-f", path, check=False).stderr
    assert "shares: the weights sum to 90, not to 100: new-left 80, new-right 10" in said
    path.write_text(f"{nodes}---\n{alias.replace('{node: new-left', '{node: nobody')}")
    assert "shares[0].node: no node 'nobody'" in server.cli("apply", "-f", path, check=False).stderr
    assert not {"new-left", "new-right"} & {node["name"] for node in server.get("/v1/nodes")["nodes"]}
