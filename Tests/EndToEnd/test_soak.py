"""The soak in short: every kind of client, bad manners and killed instances, for half a minute."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_real_clients_bad_manners_and_killed_instances() -> None:
    # In so short a time memory still grows to its level: the journals of 10,000 requests per loop are not full, and each
    # new peak of connections at once takes new slabs. `make soak` runs for ten minutes and holds it to 5 %.
    command = [sys.executable, ROOT / "Tests" / "Soak" / "soak.py", "--seconds", "25", "--growth", "30", "--calm", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
