"""The soak in short: every kind of client, bad manners and killed instances, for half a minute."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_real_clients_bad_manners_and_killed_instances() -> None:
    # A third of so short a time is no warm-up for caches and connections. `make soak` takes ten minutes and allows 5 %.
    command = [sys.executable, ROOT / "Tests" / "Soak" / "soak.py", "--seconds", "25", "--growth", "10", "--calm", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
