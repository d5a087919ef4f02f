"""Which distributions modules come from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Sequence

import pytest

from roost import distributions
from roost.checkpoint.localsources import LocalSource
from roost.checkpoint.needs import Modules, Needs, cell_imports


def made(folder: Path, name: str, version: str, files: Sequence[str], top_level: str = "") -> None:
    """A distribution as it looks when it is installed."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    if top_level:
        (info / "top_level.txt").write_text(top_level)


def test_modules_are_read_of_the_record_where_no_list_is_there(tmp_path: Path) -> None:
    made(
        tmp_path, "Foo_Bar", "1.0",
        ["foo/__init__.py", "bar.py", "_fast.cpython-311-x86_64-linux-gnu.so", "../../bin/foo", "foo.pth", "Foo_Bar-1.0.dist-info/METADATA"],
    )  # fmt: skip
    made(tmp_path, "listed", "2.0", ["other/__init__.py"], "shown\n")
    found = distributions.installed([str(tmp_path)])
    assert [(one.name, one.version) for one in found] == [("foo-bar", "1.0"), ("listed", "2.0")]
    assert found[0].modules == ("_fast", "bar", "foo")
    assert found[1].modules == ("shown",)


def test_owners_are_found_by_name_and_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "same", "1.0", ["same/__init__.py"])
    made(tmp_path, "Other-Name", "3.0", ["brought/__init__.py"])
    made(tmp_path, "misleading", "4.0", ["elsewhere/__init__.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    found = distributions.owners({"same", "brought", "misleading", "nowhere"})
    assert {name: (one.name, one.version) for name, one in found.items()} == {
        "same": ("same", "1.0"),
        "brought": ("other-name", "3.0"),
    }


def test_imports_are_found_in_nested_code() -> None:
    code = compile(
        "import a.b\ndef f():\n  from c import d\n  class C:\n    import e as g\n", "<test>", "exec"
    )
    assert set(distributions.imports(code)) == {"a", "c", "e"}


def test_the_cell_needs_what_it_imports_and_what_is_not_in_the_standard_library() -> None:
    assert cell_imports("import json, pytest\nfrom nowhere_at_all import x") == {"pytest"}


def test_a_stream_needs_the_modules_of_types_functions_and_modules() -> None:
    modules = Modules()
    for value in (pytest.MonkeyPatch(), pytest.raises, pytest, ValueError, len):
        modules.add(value)
    assert {"_pytest", "pytest"} <= modules.names()
    assert "builtins" not in modules.names() and "cloudpickle" not in modules.names()


def test_who_needs_a_module_of_the_project_needs_what_that_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inner", sys)
    needs = Needs({"mylib"})
    needs.add(["mylib"], ["model"])
    needs.follow(
        [LocalSource("mylib", False, b"import inner"), LocalSource("inner", False, b"import pytest")]
    )
    (listed,) = needs.distributions()
    assert listed["name"] == "pytest" and listed["variables"] == ["model"] and listed["cell"]
