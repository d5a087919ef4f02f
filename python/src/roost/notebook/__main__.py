"""`python -m roost.notebook run FILE.ipynb`: executes a notebook; every cell run is a checkpoint."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from typing import Any, Dict, List

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from roost.kernel.spec import NAME, write_spec

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Reporter:
    """Reads what the kernel reports and prints a line for each executed cell."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.offset = 0
        self.named: List[str] = []
        self.failed = 0
        self.saved = 0

    def print_new(self) -> None:
        """Prints the reports that have come since the last call."""
        if not os.path.exists(self.path):
            return
        with open(self.path, encoding="utf-8") as file:
            file.seek(self.offset)
            for line in file:
                self._print(json.loads(line))
            self.offset = file.tell()

    def _print(self, report: Dict[str, Any]) -> None:
        label = f"[{report['executionCount']}]"
        if "error" in report:
            self.failed += 1
            print(f"{label} not saved: {report['error']}", flush=True)
        else:
            self.saved += 1
            sent = f"{report['blobs']} blobs ({_size(report['bytes'])}) uploaded"
            pause = f"{report['pauseSeconds'] * 1000:.1f} ms pause"
            print(f"{label} checkpoint {report['checkpoint']['id']}  {sent}, {pause}", flush=True)
        for failure in report["failures"]:
            text = f"{failure['where']}: {failure['culprit']}: {failure['reason']}; {failure['hint']}"
            if text not in self.named:
                self.named.append(text)
                print(f"{label} can't be saved: {text}", flush=True)


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def run(path: str, output: str | None, timeout: int, quiet: bool) -> int:
    """Executes the notebook; 0 when every cell ran and was saved."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        print(f"error: {path}: no such file", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"error: {path} is not a notebook: {error}", file=sys.stderr)
        return 2
    if not os.environ.get("ROOST_URL"):
        print(
            "error: ROOST_URL is not set; say where roost serves, like http://127.0.0.1:8800", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="roost-notebook-") as folder:
        write_spec(os.path.join(folder, "kernels"))
        report = os.path.join(folder, "report.jsonl")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(
            filter(None, [folder, os.environ.get("JUPYTER_PATH", "")])
        )
        # The kernel runs in the notebook's folder: a relative PYTHONPATH would not find this package there.
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        os.environ.update(
            ROOST_NOTEBOOK=os.path.basename(path), ROOST_CHECKPOINT_WAIT="1", ROOST_REPORT=report
        )
        reporter = Reporter(report)

        def executed(**_: Any) -> None:
            reporter.print_new()

        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name=NAME,
            resources={"metadata": {"path": os.path.dirname(os.path.abspath(path))}},
            on_cell_executed=executed,
            extra_arguments=["--log-level=ERROR"],
        )
        code = 0
        try:
            client.execute()
        except CellExecutionError as error:
            reporter.print_new()
            print(_ANSI.sub("", str(error)).rstrip(), file=sys.stderr)
            print("error: the notebook failed; the checkpoints of the cells before stay", file=sys.stderr)
            code = 1
        except CellTimeoutError:
            print(f"error: a cell ran longer than {timeout} s; give more with --timeout", file=sys.stderr)
            code = 1
        except DeadKernelError:
            print("error: the kernel died", file=sys.stderr)
            code = 1
        reporter.print_new()
        if output:
            nbformat.write(notebook, output)
        if not quiet:
            print(f"{reporter.saved} checkpoints saved; list them with: roost checkpoint list")
        return code or (1 if reporter.failed else 0)


def main() -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(
        prog="roost notebook", description="Executes notebooks through the Roost kernel."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run", help="execute a notebook; every cell run is a checkpoint")
    runner.add_argument("file", metavar="FILE.ipynb")
    runner.add_argument("--output", metavar="FILE", help="write the executed notebook here")
    runner.add_argument(
        "--timeout", type=int, default=3600, metavar="SECONDS", help="longest time of a cell (3600)"
    )
    runner.add_argument("--quiet", action="store_true", help="no closing line")
    options = parser.parse_args()
    return run(options.file, options.output, options.timeout, options.quiet)


if __name__ == "__main__":
    sys.exit(main())
