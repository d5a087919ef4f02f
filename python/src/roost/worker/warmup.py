"""The warm-up: the node's example request is run before any instance takes requests of callers.

A rehearsal runs it in a throw-away fork of the zygote, so that nothing of it stays in the state that instances begin
with; what the run imported is then loaded by the zygote, for all instances. With `warmUp: instance` each instance runs the
example itself as well, once the rehearsal went well.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Iterable, NamedTuple, NoReturn

from roost.worker import codec, frames, groups, prepare
from roost.worker.config import Config
from roost.worker.execute import Executor
from roost.worker.timeouts import Interrupter

if TYPE_CHECKING:
    from roost.worker.instance import Instance
    from roost.worker.zygote import Zygote

NAME = b"warm-up"
"""Stands in the log where the id of a caller's request would."""

MAX_SECONDS = 5.0
GRACE_SECONDS = 0.5
MAX_OUTPUT_BYTES = 1024 * 1024


class Outcome(NamedTuple):
    """How the rehearsal went."""

    state: str
    """`done`, `failed` or `skipped`."""
    message: str
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The form of `info`."""
        return {"state": self.state, "message": self.message, "seconds": round(self.seconds, 6)}


def limit(config: Config) -> float:
    """Seconds that one run may take."""
    return min(config.timeout_seconds, MAX_SECONDS)


def rehearse(zygote: Zygote, files: Iterable[int]) -> Outcome:
    """Runs the example in a fork that enters the groups behind `files`. Raises nothing."""
    if zygote.threads > 1 or (zygote.mode == "spawn" and zygote.config.start_mode == "auto"):
        return Outcome(
            "skipped",
            f"the example was not run: it needs a fork, and instances are spawned: {zygote.mode_reason}",
        )
    zygote.log.flush()
    started = monotonic()
    result_read, result_write = os.pipe()
    output_read, output_write = os.pipe()
    groups.for_next_fork(files)
    try:
        pid = os.fork()
    except OSError as error:
        for fd in (result_read, result_write, output_read, output_write):
            os.close(fd)
        return Outcome("failed", f"the example was not run: a process can't be made: {error.strerror}")
    finally:
        groups.for_next_fork(())
    if pid == 0:
        os.close(result_read)
        os.close(output_read)
        _perform(zygote, result_write, output_write)
    os.close(result_write)
    os.close(output_write)
    try:
        report = _Report(zygote, result_read, output_read)
        whole = report.wait(started + limit(zygote.config) + GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # also what the cell started
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        report.drain()
    finally:
        os.close(result_read)
        os.close(output_read)
    seconds = monotonic() - started
    if whole is None:
        if monotonic() >= started + limit(zygote.config) + GRACE_SECONDS:
            how = f"it did not end within {limit(zygote.config):.2g} s and was killed"
        elif os.WIFSIGNALED(status):
            how = f"its process was ended by signal {signal.Signals(os.WTERMSIG(status)).name}"
        else:
            how = f"its process ended with exit code {os.WEXITSTATUS(status)}"
        return Outcome("failed", f"the example request failed: {how}", seconds)
    if whole.get("error"):
        return Outcome("failed", f"the example request failed: {whole['error']}", seconds)
    loaded = _load(zygote, whole.get("modules") or [])
    note = f"; {loaded} modules that it imported are loaded for all instances" if loaded else ""
    return Outcome(
        "done", f"the example request ran in {seconds:.3f} s in a copy of the restored state{note}", seconds
    )


def run(executor: Executor, config: Config) -> str | None:
    """Runs the example once in this process; what went wrong, or None."""
    data = executor.run(0, int(limit(config) * 1000), NAME, config.example)
    if data[4] != frames.ERROR:
        return None
    failure = json.loads(data[13:])
    return f"{failure.get('errorName')}: {failure.get('errorMessage')}"


def run_in(instance: Instance, executor: Executor) -> float:
    """`warmUp: instance`: runs the example in the instance itself; returns its seconds.

    An end of the process, or a hang that can't be interrupted (a second after the limit this ends the process), is
    noticed by the zygote: instances after this one don't run it.
    """
    started = monotonic()
    config = instance.config
    instance.mark(NAME)
    faulthandler.dump_traceback_later(limit(config) + 1.0, exit=True, file=2)
    try:
        trouble = run(executor, config)
    finally:
        faulthandler.cancel_dump_traceback_later()
        instance.mark(b"")
        instance.capture.request = None
        instance.capture.running = False
        instance.capture.due = 0.0
    seconds = monotonic() - started
    how = (
        f"failed: {trouble}; the instance takes requests all the same"
        if trouble
        else f"ran in {seconds:.3f} s"
    )
    instance.log.add("system", f"warm-up: the example request {how}", NAME)
    return seconds


class _Report:
    """What comes out of the fork: its lines for the log, and one line of JSON at its end."""

    def __init__(self, zygote: Zygote, result: int, output: int) -> None:
        self._zygote = zygote
        self._result = result
        self._output = output
        self._data = b""
        self._printed = bytearray()
        for fd in (result, output):
            os.set_blocking(fd, False)

    def wait(self, deadline: float) -> dict[str, Any] | None:
        """The report; None when the process ended without one, at the deadline, or when the zygote is to end."""
        poller = select.poll()
        poller.register(self._result, select.POLLIN)
        poller.register(self._output, select.POLLIN)
        poller.register(self._zygote.wake_fd, select.POLLIN)
        while True:
            left = deadline - monotonic()
            if left <= 0 or self._zygote.is_stopping:
                return None
            for fd, _ in poller.poll(left * 1000 + 1):
                if fd == self._zygote.wake_fd:
                    self._zygote.take_wakeups()
                elif fd == self._output:
                    if not self._print():
                        poller.unregister(fd)
                else:
                    chunk = os.read(fd, 1 << 16)
                    self._data += chunk
                    if chunk[-1:] == b"\n":
                        report: dict[str, Any] = json.loads(self._data)
                        return report
                    if not chunk:
                        return None

    def _print(self) -> bool:
        try:
            data = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return True
        if len(self._printed) < MAX_OUTPUT_BYTES:
            self._printed += data
        return bool(data)

    def drain(self) -> None:
        """What the process wrote to its descriptors 1 and 2 goes to the log."""
        before = -1
        while before != len(self._printed) and self._print():
            before = len(self._printed)
            if not select.select([self._output], [], [], 0)[0]:
                break
        if self._printed:
            self._zygote.log.add("output", self._printed.decode("utf-8", "backslashreplace"), NAME)


def _perform(zygote: Zygote, result: int, output: int) -> NoReturn:
    """In the fork: lets go of what is the zygote's, runs the example and reports."""
    try:
        os.setsid()
        if groups.trouble() is not None:
            os.write(result, json.dumps({"error": groups.trouble()}).encode() + b"\n")
            os._exit(1)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        zygote.let_go()
        restorer, cell = zygote.restorer, zygote.cell
        assert restorer is not None and cell is not None
        sys.stdout, sys.stderr = zygote.capture.stdout, zygote.capture.stderr
        interrupter = Interrupter()
        interrupter.install()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        restorer.restore_after_fork()
        gc.enable()
        prepare.reseed(zygote.config, None)
        before = set(sys.modules)
        executor = Executor(
            zygote.config, cell, restorer.namespace, zygote.capture, interrupter, codec.chosen()
        )
        trouble = run(executor, zygote.config)
        new = [] if trouble or len(prepare.threads()) > 1 else _shared(set(sys.modules) - before)
        report: dict[str, Any] = {"error": trouble, "modules": new}
    except BaseException as error:
        report = {"error": f"{type(error).__name__}: {error}"}
    with contextlib.suppress(BaseException):
        zygote.capture.collect()
        zygote.log.flush()
    data = json.dumps(report).encode() + b"\n"
    while data:
        data = data[os.write(result, data) :]
    os._exit(0)


def _shared(names: set[str]) -> list[str]:
    """Those modules whose import by the zygote changes nothing but the time of a request: installed ones, not the project's."""
    prefixes = tuple({sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)})
    found = []
    for name, module in list(sys.modules.items()):  # in the order of their import
        if name not in names or name == "__main__":
            continue
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None)
        if isinstance(origin, str) and (origin in ("built-in", "frozen") or origin.startswith(prefixes)):
            found.append(name)
    return found


def _load(zygote: Zygote, names: list[str]) -> int:
    """Imports them in the zygote. Nothing that the fork did stays but this."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = zygote.capture.stdout, zygote.capture.stderr
    loaded = 0
    try:
        for name in names:
            if name not in sys.modules:
                with contextlib.suppress(Exception, SystemExit):
                    importlib.import_module(name)
                    loaded += 1
            else:
                loaded += 1  # by one before it
        if names:
            prepare.preload()
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        zygote.capture.collect()
    if names:
        gc.collect()
        gc.freeze()
    return loaded
