"""The steps of making an environment, with uv and wheels made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import roost.environment
from roost.environment import steps

MAIN = Path(roost.environment.__file__).parent / "__main__.py"


def order(folder: Path, **more: Any) -> Dict[str, Any]:
    """An order as the service writes it."""
    base = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
    made = {
        "uv": str(Path(sys.executable).parent / "uv"), "python": base, "requirements": "a", "locked": False, "indexUrl": None,
        "findLinks": [], "offline": True, "allowSource": False, "folder": str(folder), "cache": str(folder / "cache"),
        "log": str(folder / "log"),
    }  # fmt: skip
    return {**made, **more}


def run(step: str, given: Dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """A step as the service runs it."""
    path = Path(given["folder"]) / "order.json"
    path.write_text(json.dumps(given))
    return subprocess.run(
        [given["python"], "-I", "-S", str(MAIN), step, str(path)], capture_output=True, text=True
    )


def test_a_failure_is_one_sentence_in_error_json_and_the_log(tmp_path: Path) -> None:
    done = run("resolve", order(tmp_path, requirements="no-such-package==1"))
    assert done.returncode == 1, done
    message = json.loads((tmp_path / "error.json").read_text())["message"]
    assert message.startswith("the requirements can't be resolved: ") and "no-such-package" in message
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[-1]["stream"] == "error" and lines[-1]["message"] == message
    assert all(set(line) == {"time", "stream", "message"} for line in lines)


def test_a_missing_uv_is_told(tmp_path: Path) -> None:
    assert run("resolve", order(tmp_path, uv="/nowhere/uv")).returncode == 1
    assert "/nowhere/uv can't be started" in json.loads((tmp_path / "error.json").read_text())["message"]


def test_the_digest_is_of_what_counts(tmp_path: Path) -> None:
    def digest(lock: str, **more: Any) -> str:
        return steps.digest(steps.Order(**order(tmp_path, **more)), steps._canonical(lock))

    plain = digest("a==1\n")
    assert (
        plain == digest("# a comment\na==1  # another\n\n") == digest("a==1", offline=False, findLinks=["/x"])
    )
    assert plain != digest("a==2") and plain != digest("a==1", allowSource=True)
    assert plain != digest("a==1", python="/bin/sh")


def test_a_lock_without_packages_is_refused(tmp_path: Path) -> None:
    assert run("resolve", order(tmp_path, requirements="# nothing", locked=True)).returncode == 1
    assert "there is no package" in json.loads((tmp_path / "error.json").read_text())["message"]


def test_inspect_lists_packages_with_their_modules() -> None:
    site = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(MAIN), "inspect", json.dumps([site])], capture_output=True, text=True
    )
    told = json.loads(done.stdout)
    assert told["python"] == "%d.%d.%d" % sys.version_info[:3]
    names = {one["name"]: one for one in told["packages"]}
    assert "pytest" in names["pytest"]["modules"]
