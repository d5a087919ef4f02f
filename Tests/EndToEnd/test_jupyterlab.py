"""The kernel "Python 3 (Roost)" in JupyterLab, as a data scientist sees it in a browser."""

from __future__ import annotations

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from browser import SECONDS, chromium, picture_of_failure
from conftest import ROOT, Roost, wait_for
from playwright.sync_api import Locator, Page, expect


@pytest.fixture
def lab(roost: Roost, tmp_path: pathlib.Path) -> Iterator[str]:
    """A JupyterLab on a copy of the example; gives the address of its notebook."""
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "examples" / "randomizer", folder)
    spec = [sys.executable, "-m", "roost.kernel", "install", "--prefix", str(tmp_path / "prefix")]
    python_path = os.pathsep.join(filter(None, [str(ROOT / "python" / "src"), os.environ.get("PYTHONPATH")]))
    environment = {
        **roost.environment,
        "PYTHONPATH": python_path,
        "JUPYTER_PATH": str(tmp_path / "prefix" / "share" / "jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    subprocess.run(spec, env=environment, check=True, capture_output=True)
    # JupyterLab asks its project's site for news otherwise.
    config = tmp_path / "config" / "labconfig"
    config.mkdir(parents=True)
    disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "page_config.json").write_text(json.dumps(disabled))
    token = secrets.token_hex(16)
    words = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    words += ["--ServerApp.port=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    with open(tmp_path / "lab.log", "wb") as log:
        server = subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log)

    def address() -> str | None:
        assert server.poll() is None, (tmp_path / "lab.log").read_text()[-3000:]
        found = re.search(r"(http://127\.0\.0\.1:\d+/)lab\?token", (tmp_path / "lab.log").read_text())
        return found and found[1]

    try:
        base = wait_for("JupyterLab serves", address)
        yield f"{base}lab/tree/randomizer.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(SECONDS)


def output_of(page: Page, count: int) -> Locator:
    """The output of the cell that ran as number `count`."""
    prompt = page.locator(".jp-InputPrompt", has_text=f"[{count}]:")
    return page.locator(".jp-Notebook .jp-CodeCell", has=prompt).locator(".jp-OutputArea")


def run_below(page: Page, source: str, count: int) -> Locator:
    """Adds a cell at the end, runs it as a user does, and gives its output."""
    page.locator(".jp-Notebook-footer").click()
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(count)
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.insert_text(source)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".jp-CodeCell .jp-InputPrompt", has_text=f"[{count}]:")).to_be_visible()
    return output_of(page, count)


def test_cells_that_run_in_jupyterlab_become_checkpoints(roost: Roost, lab: str, tmp_path: pathlib.Path) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 960, "height": 820})
        with picture_of_failure(page, tmp_path / "failed.png"):
            page.goto(lab)
            expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2)
            expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("Python 3 (Roost)")
            expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle")
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            expect(output_of(page, 2)).to_contain_text(re.compile(r"\{'generated_value': \d+\}"))

            def listed() -> bool:
                return len(roost.cli("checkpoint", "list").stdout.splitlines()) == 3  # a heading and two checkpoints

            wait_for("two checkpoints in roost checkpoint list", listed)
            assert "randomizer.ipynb" in roost.cli("checkpoint", "list").stdout

            expect(run_below(page, "%roost status", 3)).to_contain_text(roost.url)
            expect(run_below(page, "%roost pin randomizer-checkpoint", 4)).to_contain_text("as randomizer-checkpoint")
            assert "randomizer-checkpoint" in roost.cli("checkpoint", "list").stdout

            source = "import sqlite3\n\nsettings = {'cache': {'database': sqlite3.connect(':memory:')}}"
            table = run_below(page, source, 5).locator("table")
            row = table.locator("tbody tr")
            expect(row).to_have_count(1)
            for text in (
                "settings['cache']['database']",
                "sqlite3.Connection",
                "cannot pickle 'sqlite3.Connection' object",
                "open the connection inside the cell",
            ):
                expect(row).to_contain_text(text)
            # It reads as prose, not as an error: no red box, and nothing runs out of the page.
            expect(output_of(page, 5).locator("[data-mime-type='application/vnd.jupyter.stderr']")).to_have_count(0)
            assert row.evaluate("row => row.scrollWidth <= row.closest('.jp-OutputArea').clientWidth")
            page.keyboard.press("Control+b")
            expect(page.locator("#jp-left-stack")).to_be_hidden()
            page.screenshot(path=tmp_path / "jupyterlab.png")
            print(f"the notebook looks like {tmp_path / 'jupyterlab.png'}")
            expect(run_below(page, "%roost status", 6)).to_contain_text("settings['cache']['database']")
