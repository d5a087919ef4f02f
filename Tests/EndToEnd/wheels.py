"""Small wheels and sources for tests of environments, so that they need no network.

As a program: `wheels.py FOLDER NAME==VERSION...` makes wheels whose module says its version.
"""

from __future__ import annotations

import base64
import hashlib
import io
import pathlib
import sys
import tarfile
import zipfile
from collections.abc import Sequence


def wheel(
    folder: pathlib.Path, name: str, version: str, *, module: str | None = None, body: str | None = None, requires: Sequence[str] = ()
) -> pathlib.Path:
    """A pure wheel with one module, which has `VERSION` and `greet`."""
    base = name.replace("-", "_")
    module = module or base
    info = f"{base}-{version}.dist-info"
    text = body or f"VERSION = {version!r}\n\n\ndef greet(name):\n    return f'{{name}} by {version}'\n"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        f"{module}/__init__.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()).rstrip(b'=').decode()},{len(data.encode())}\n"
        for path, data in files.items()
    )
    made = folder / f"{base}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return made


_BACKEND = """
import os, pathlib, sys
sys.path.insert(0, os.path.dirname(__file__))
import wheels_copy


def build_wheel(folder, config_settings=None, metadata_directory=None):
    {hook}
    return wheels_copy.wheel(pathlib.Path(folder), {name!r}, {version!r}).name
"""


def source(folder: pathlib.Path, name: str, version: str, hook: str = "pass") -> pathlib.Path:
    """A source distribution whose build backend is in it; `hook` runs when it is built."""
    base = f"{name.replace('-', '_')}-{version}"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        f"[project]\nname = {name!r}\nversion = {version!r}\n",
        "backend.py": _BACKEND.format(name=name, version=version, hook=hook),
        "wheels_copy.py": pathlib.Path(__file__).read_text(),
    }
    made = folder / f"{base}.tar.gz"
    with tarfile.open(made, "w:gz") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(f"{base}/{path}")
            entry.size = len(data.encode())
            archive.addfile(entry, io.BytesIO(data.encode()))
    return made


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        wheel(pathlib.Path(sys.argv[1]), *argument.split("=="))
