"""A stand-in for IPython's `get_ipython()`: the few magics that make sense in a node."""

from __future__ import annotations

import ast
import builtins
import time
from typing import Any

IGNORED = frozenset(
    ("matplotlib", "config", "load_ext", "reload_ext", "autoreload", "precision", "pdb", "xmode")
)
TIMEIT_SECONDS = 0.2


class UsageError(Exception):
    """A magic that a node does not have."""


class Shell:
    """What `get_ipython()` answers inside a node."""

    def __init__(self, namespace: dict[str, Any], filename: str) -> None:
        self.user_ns = namespace
        self.user_global_ns = namespace
        self._filename = filename
        self.config: dict[str, Any] = {}

    def run_line_magic(self, name: str, line: str, _stack_depth: int = 1) -> Any:
        """`%name line`."""
        if name in IGNORED:
            return None
        if name == "time":
            return self._time(line, 0)
        if name == "timeit":
            return self._timeit(line)
        raise UsageError(f"the magic %{name} is not available in a node")

    def run_cell_magic(self, name: str, line: str, cell: str) -> Any:
        """`%%name line` over a cell."""
        if name == "time":
            return self._time(cell, 1)
        if name == "timeit":
            return self._timeit(cell)
        if name == "capture":
            return self._run(cell, 1)
        raise UsageError(f"the magic %%{name} is not available in a node")

    def magic(self, text: str) -> Any:
        """The old spelling of a line magic."""
        name, _, line = text.lstrip("%").partition(" ")
        return self.run_line_magic(name, line)

    def system(self, command: str) -> None:
        """`!command`."""
        raise UsageError(f"a node can't run shell commands: !{command}")

    getoutput = system

    def _run(self, source: str, offset: int) -> Any:
        """Runs source; the value of a last expression is returned. `offset` keeps the cell's line numbers."""
        tree = ast.parse(source, self._filename)
        ast.increment_lineno(tree, offset)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            head = ast.Module(tree.body[:-1], [])
            exec(compile(head, self._filename, "exec"), self.user_ns)
            return eval(compile(ast.Expression(last.value), self._filename, "eval"), self.user_ns)
        exec(compile(tree, self._filename, "exec"), self.user_ns)
        return None

    def _time(self, source: str, offset: int) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return self._run(source, offset)
        finally:
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            print(f"CPU times: total: {_seconds(cpu)}\nWall time: {_seconds(wall)}")

    def _timeit(self, source: str) -> None:
        code = compile(ast.parse(source, self._filename), self._filename, "exec")
        loops = 0
        started = time.perf_counter()
        while True:
            exec(code, self.user_ns)
            loops += 1
            spent = time.perf_counter() - started
            if spent > TIMEIT_SECONDS:
                break
        print(f"{_seconds(spent / loops)} per loop (mean of {loops} loops)")


def _seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def display(*values: Any, **_options: Any) -> None:
    """Jupyter's `display`: in a node it goes to the log as text."""
    for value in values:
        print(repr(value))


def install(namespace: dict[str, Any], filename: str) -> None:
    """Makes `get_ipython` and `display` known to the cell, as the notebook did."""
    shell = Shell(namespace, filename)
    names: Any = builtins
    names.get_ipython = lambda: shell
    names.display = display
