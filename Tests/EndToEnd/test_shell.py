"""The command line against a real server: watching, profiles, completion in the real shells, colors, exit codes."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pexpect
import pytest
import yaml
from conftest import BINARY, Roost, wait_for


@pytest.fixture(scope="module")
def node(roost: Roost) -> str:
    roost.checkpoint("x = 1", "y = x + 1", name="adder")
    return roost.node("adder", inputs=["x:int"], outputs=["y:int"])


@pytest.fixture
def on_path(tmp_path: pathlib.Path) -> Iterator[dict[str, str]]:
    """An environment in which `roost` is found by name and the configuration is empty."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "roost").symlink_to(BINARY)
    unset = ("ROOST_URL", "ROOST_TOKEN", "ROOST_TOKEN_FILE", "ROOST_PROFILE", "NO_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    environment["HOME"] = str(tmp_path)
    yield environment


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


def test_watch_prints_again_when_something_changes_and_ends_on_interrupt(roost: Roost, node: str) -> None:
    watch = pexpect.spawn(
        str(BINARY),
        ["node", "list", "--watch"],
        env=roost.environment,
        encoding="utf-8",
        timeout=30,
        # What a script starts in its background ignores interrupts, and so do its children. Who watches is in the foreground.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        watch.expect("adder .*HEALTHY")
        roost.cli("node", "suspend", "adder")
        watch.expect("adder .*SUSPENDED")
        roost.cli("node", "resume", "adder")
        watch.expect("adder .*HEALTHY")
        watch.sendintr()
        watch.expect(pexpect.EOF)
    finally:
        watch.close(force=True)
    roost.healthy(node, 1)


def test_outputs_agree_with_each_other(roost: Roost, node: str) -> None:
    as_json = json.loads(roost.cli("node", "list", "-o", "json").stdout)
    assert yaml.safe_load(roost.cli("node", "list", "-o", "yaml").stdout) == as_json
    names = roost.cli("node", "list", "-o", "name").stdout.split()
    assert len(names) == 1 and names[0] in ("adder", node)
    instances = json.loads(roost.cli("node", "instances", "adder", "-o", "json").stdout)
    listed = roost.cli("node", "instances", "adder", "-o", "name").stdout.split()
    items = instances if isinstance(instances, list) else instances["instances"]
    assert listed == [item["id"] for item in items] == [item["id"] for item in roost.instances(node)]


def test_profiles_name_servers(roost: Roost, node: str, on_path: dict[str, str], tmp_path: pathlib.Path) -> None:
    token = str(roost.data / "admin.token")
    assert run(on_path, "roost", "profile", "set", "here", "--url", roost.url, "--token-file", token).returncode == 0
    file = tmp_path / "config" / "roost" / "config.json"
    assert file.stat().st_mode & 0o777 == 0o600
    nowhere = ("--url", "http://127.0.0.1:1", "--token-file", token)
    assert run(on_path, "roost", "profile", "set", "nowhere", *nowhere).returncode == 0

    assert "adder" in run(on_path, "roost", "node", "list").stdout, "the first profile is used"
    assert run(on_path, "roost", "node", "list", "--profile", "nowhere").returncode == 5
    assert run({**on_path, "ROOST_PROFILE": "nowhere"}, "roost", "node", "list").returncode == 5
    # A flag comes before a profile.
    assert run(on_path, "roost", "node", "list", "--profile", "nowhere", "--url", roost.url).returncode == 0

    assert run(on_path, "roost", "profile", "use", "nowhere").returncode == 0
    assert run(on_path, "roost", "node", "list").returncode == 5
    starred = [line for line in run(on_path, "roost", "profile", "list").stdout.splitlines() if "*" in line]
    assert len(starred) == 1 and "nowhere" in starred[0]

    file.write_text("{ not json")
    broken = run(on_path, "roost", "node", "list")
    assert broken.returncode == 1 and str(file) in broken.stderr and "repair" in broken.stderr


def test_each_failure_has_its_exit_code(roost: Roost, node: str) -> None:
    def code(*words: str, **variables: str) -> int:
        return run({**roost.environment, **variables}, str(BINARY), *words).returncode

    assert code("node", "list") == 0
    assert code("node", "call", "adder", "--input", '{"x": "a word"}') == 1
    assert code("node", "list", "--no-such-flag") == 2
    assert code("node", "no-such-verb") == 2
    assert code("node", "list", "-o", "xml") == 2
    assert code("node", "describe", "no-such-node") == 3
    assert code("node", "list", ROOST_TOKEN="not-a-token", ROOST_TOKEN_FILE="") == 4
    assert code("node", "list", ROOST_URL="http://127.0.0.1:1") == 5


def test_colors_only_where_a_person_looks_and_wants_them(roost: Roost) -> None:
    """What has a color is the word "error"."""

    def on_terminal(*flags: str, no_color: str) -> str:
        environment = {**roost.environment, "TERM": "xterm-256color", "NO_COLOR": no_color}
        words = ["node", "describe", "no-such-node", *flags]
        terminal = pexpect.spawn(str(BINARY), words, env=environment, encoding="utf-8", timeout=30)
        try:
            terminal.expect(pexpect.EOF)
            return str(terminal.before)
        finally:
            terminal.close(force=True)

    assert "\x1b[31merror:" in on_terminal(no_color="")
    for plain in (on_terminal(no_color="1"), on_terminal("--no-color", no_color="")):
        assert "error:" in plain and "\x1b[" not in plain
    piped = run({**roost.environment, "NO_COLOR": ""}, str(BINARY), "node", "describe", "no-such-node")
    assert "error:" in piped.stderr and "\x1b[" not in piped.stderr


def test_completion_in_bash(on_path: dict[str, str]) -> None:
    script = """
        source <(roost completion bash)
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _roost; echo ${COMPREPLY[*]}; }
        try roost check; try roost node de; try roost node list --wa
    """
    done = run(on_path, "bash", "-c", script)
    assert done.returncode == 0, done.stderr
    nouns, verbs, flags = done.stdout.splitlines()
    assert nouns.split() == ["checkpoint"]
    assert sorted(verbs.split()) == ["delete", "describe"]
    assert flags.split() == ["--watch"]


def test_completion_in_fish(on_path: dict[str, str]) -> None:
    assert shutil.which("fish"), "fish is missing: scripts/setup installs it"
    script = "roost completion fish | source; complete -C 'roost check'; echo =; complete -C 'roost node de'"
    done = run(on_path, "fish", "--no-config", "-c", script)
    nouns, _, verbs = done.stdout.partition("=\n")
    assert [line.split("\t")[0] for line in nouns.splitlines()] == ["checkpoint"], done.stderr
    assert sorted(line.split("\t")[0] for line in verbs.splitlines()) == ["delete", "describe"]


def test_completion_in_zsh(on_path: dict[str, str]) -> None:
    """Types into a real terminal: what completes is the line itself."""
    assert shutil.which("zsh"), "zsh is missing: scripts/setup installs it"
    shell = pexpect.spawn(
        "zsh", ["-f", "-i"], env={**on_path, "TERM": "dumb", "PS1": "READY> "}, encoding="utf-8", timeout=30
    )
    try:
        shell.expect("READY> ")
        shell.sendline("autoload -U compinit && compinit -u -D; source <(roost completion zsh); print loa''ded")
        shell.expect("loaded\r?\n")
        shell.expect("READY> ")
        shell.send("roost vers\t")
        shell.expect("roost version")
        shell.sendcontrol("u")
        shell.send("print alive''again\n")
        shell.expect("aliveagain")
    finally:
        shell.close(force=True)


def test_watch_of_instances_shows_the_replacement_of_a_killed_one(roost: Roost, node: str) -> None:
    old = roost.healthy(node, 1)[0]
    os.kill(old["pid"], 9)
    wait_for("another instance", lambda: [i for i in roost.instances(node) if i["id"] != old["id"]])
    new = roost.healthy(node, 1)[0]
    assert roost.cli("node", "instances", "adder", "-o", "name").stdout.split() == [new["id"]]
