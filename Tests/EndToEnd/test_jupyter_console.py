"""The kernel in `jupyter console`, typed at a terminal."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Iterator

import pexpect
import pytest
from conftest import ROOT, Roost, wait_for


@pytest.fixture
def console(roost: Roost, tmp_path: pathlib.Path) -> Iterator[pexpect.spawn[str]]:
    """A console on the kernel "Python 3 (Roost)", whose specification lies in a folder of this test."""
    source = ROOT / "python" / "src"
    spec = tmp_path / "kernels" / "roost"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "roost.kernel", "-f", "{connection_file}"]
    described = {"argv": argv, "display_name": "Python 3 (Roost)", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(described))
    environment = {
        **roost.environment,
        "JUPYTER_PATH": str(tmp_path),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
        "TERM": "dumb",
    }
    words = ["-m", "jupyter_console", "--kernel", "roost", "--simple-prompt"]
    for _ in range(6):
        terminal = pexpect.spawn(sys.executable, words, env=environment, encoding="utf-8", timeout=60)
        terminal.expect(r"In \[1\]: ")
        # The console asks for the kernel's messages while it shows its first prompt. Of a cell that ends before that it
        # never learns the end, and waits for ever.
        terminal.sendline("'ready'")
        if terminal.expect([r"In \[2\]: ", pexpect.TIMEOUT], timeout=15) == 0:
            break
        terminal.close(force=True)
    else:
        pytest.fail("the console shows the end of no cell")
    yield terminal
    terminal.sendeof()
    terminal.close(force=True)


def test_cells_of_the_console_become_checkpoints(roost: Roost, console: pexpect.spawn[str]) -> None:
    console.sendline("answer = 6 * 7")
    console.expect(r"In \[3\]: ")

    def saved() -> bool:
        newest = roost.get("/v1/checkpoints")["checkpoints"]
        return bool(newest) and newest[0]["cell"]["source"] == "answer = 6 * 7"

    wait_for("a checkpoint of the cell", saved)

    console.sendline("import threading; lock = threading.Lock()")
    console.expect(r"lock.*_thread\.lock")
    console.expect(r"In \[4\]: ")

    console.sendline("%roost status")
    console.expect("server +" + roost.url)
    console.expect("not saved lock")
    console.expect(r"In \[5\]: ")

    console.sendline("%roost pin from-the-console")
    console.expect(r"pinned \S+ as from-the-console")
    names = [checkpoint.get("name") for checkpoint in roost.get("/v1/checkpoints")["checkpoints"]]
    assert "from-the-console" in names
