"""The kernelspec."""

from __future__ import annotations

import json
import os
import sys

NAME = "roost"
DISPLAY_NAME = "Python 3 (Roost)"


def write_spec(folder: str) -> str:
    """Writes `FOLDER/roost/kernel.json` for this interpreter and returns its folder."""
    target = os.path.join(folder, NAME)
    os.makedirs(target, exist_ok=True)
    spec = {
        "argv": [sys.executable, "-m", "roost.kernel", "-f", "{connection_file}"],
        "display_name": DISPLAY_NAME,
        "language": "python",
        "metadata": {"debugger": True},
    }
    with open(os.path.join(target, "kernel.json"), "w", encoding="utf-8") as file:
        json.dump(spec, file, indent=1)
    return target
