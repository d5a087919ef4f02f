"""The zygote's view of its instances: their processes and what comes out of their descriptors 1 and 2."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from typing import Any, NoReturn, Sequence

from roost.worker.config import Config
from roost.worker.control import refusal
from roost.worker.output import LogWriter
from roost.worker.prepare import Saved

INSTANCE = "--instance"
WARM_INSTANCE = "--warm-instance"
"""An instance that runs the node's example before it is ready."""

INSTANCE_READY_FD = 3
INSTANCE_LIFELINE_FD = 4
INSTANCE_GROUP_FD = 5
"""The first of the group files; the others follow."""


def remove(path: str) -> None:
    """Removes a file that may be gone."""
    with contextlib.suppress(OSError):
        os.unlink(path)


class Child:
    """One instance, running or ended and not yet forgotten."""

    def __init__(self, instance: str, pid: int, ready_fd: int, output_fd: int) -> None:
        self.instance = instance
        self.pid = pid
        self.ready_fd = ready_fd
        self.output_fd = output_fd
        self.listens = False
        self.trouble: str | None = None
        """Why it could not start, in its own words."""
        self.running = True
        self.code: int | None = None
        self.signal: int | None = None

    def ended(self, status: int) -> None:
        """The process was reaped."""
        self.running = False
        if os.WIFSIGNALED(status):
            self.signal = os.WTERMSIG(status)
        else:
            self.code = os.WEXITSTATUS(status)

    def signal_with(self, number: signal.Signals) -> None:
        """Sends a signal; the pid is ours until it was reaped."""
        os.kill(self.pid, number)

    def how(self) -> str:
        """How it ended, in words."""
        if self.trouble is not None:
            return f"ended: {self.trouble}"
        if self.signal is not None:
            return f"ended by signal {self.signal}"
        return f"ended with code {self.code}"

    def started(self) -> dict[str, Any]:
        """The answer to its start, once it listens or has ended."""
        if self.running:
            return {"ok": True, "pid": self.pid}
        if self.trouble is not None:
            return refusal("start", f"instance {self.instance}: {self.trouble}")
        return refusal("start", f"instance {self.instance} {self.how()} before it listened")

    def unlink(self, folder: str) -> None:
        """Removes its socket."""
        remove(os.path.join(folder, f"{self.instance}.sock"))

    def forget(self, folder: str) -> None:
        """Removes all it left in the folder of sockets."""
        self.unlink(folder)
        remove(os.path.join(folder, f"{self.instance}.run"))

    def event(self) -> dict[str, Any]:
        """The line of the event stream."""
        return {"event": "exited", "instance": self.instance, "code": self.code, "signal": self.signal}

    def to_json(self) -> dict[str, Any]:
        """The entry in `info`."""
        state = "running" if self.running else "exited"
        return {
            "id": self.instance,
            "pid": self.pid,
            "state": state,
            "code": self.code,
            "signal": self.signal,
        }


def request_ended(instance: str, told: dict[str, Any]) -> dict[str, Any]:
    """The line of the event stream for a request's own process, which ended before the cell did."""
    request, code, number = told.get("request"), told.get("code"), told.get("signal")
    return {
        "event": "requestEnded",
        "instance": instance,
        "request": request if isinstance(request, str) else "",
        "code": code if isinstance(code, int) else None,
        "signal": number if isinstance(number, int) else None,
    }


class Pipes:
    """The read ends of the children's descriptors 1 and 2; their lines are the log's stream `output`."""

    def __init__(self, config: Config, log: LogWriter, poller: select.epoll) -> None:
        self._config = config
        self._log = log
        self._poller = poller
        self._open: dict[int, tuple[LogWriter, bytearray]] = {}

    def owns(self, fd: int) -> bool:
        """Whether this is one of the pipes."""
        return fd in self._open

    def add(self, fd: int, instance: str) -> None:
        """Watches a new instance's pipe."""
        os.set_blocking(fd, False)
        config = self._config
        log = LogWriter(config.log, config.node, config.release, instance, config.max_log_line_bytes)
        self._open[fd] = (log, bytearray())
        self._poller.register(fd, select.EPOLLIN)

    def read(self, fd: int) -> bool:
        """One read; False when there was nothing or the pipe has ended."""
        log, rest = self._open[fd]
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._line(log, rest)
            self._poller.unregister(fd)
            os.close(fd)
            del self._open[fd]
            log.close()
            return False
        rest += data
        whole, newline, tail = rest.rpartition(b"\n")
        if newline:
            self._line(log, whole)
            rest[:] = tail
        if len(rest) > self._config.max_log_line_bytes:
            self._line(log, rest)
            rest.clear()
        return True

    def _line(self, log: LogWriter, data: bytearray) -> None:
        if data:
            log.add("output", data.decode("utf-8", "backslashreplace"))
            log.flush()

    def drain(self, fd: int) -> None:
        """What an instance wrote before it ended comes before the news of its end."""
        while fd in self._open and self.read(fd):
            pass
        if fd in self._open:
            log, rest = self._open[fd]
            self._line(log, rest)
            rest.clear()

    def close(self) -> None:
        """In a forked child."""
        for fd, (log, _) in self._open.items():
            os.close(fd)
            log.close()


def spawn(
    config: Config,
    name: str,
    ready_fd: int,
    output_fd: int,
    lifeline_fd: int,
    saved: Saved,
    groups: Sequence[int] = (),
    warms: bool = False,
) -> int:
    """Starts a fresh interpreter for one instance. posix_spawn is safe where the zygote has threads.

    It enters its groups as the first thing it does.
    """
    environment = dict(os.environ)
    for key, value in saved.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = value
    # A descriptor may have the number of another one's target: first all go out of the way.
    given = [ready_fd, lifeline_fd, *groups]
    targets = range(INSTANCE_READY_FD, INSTANCE_READY_FD + len(given))
    above = max(200, *given) + 1
    actions: list[tuple[Any, ...]] = [
        *((os.POSIX_SPAWN_DUP2, fd, above + at) for at, fd in enumerate(given)),
        (os.POSIX_SPAWN_DUP2, output_fd, 1),
        (os.POSIX_SPAWN_DUP2, output_fd, 2),
        *((os.POSIX_SPAWN_DUP2, above + at, target) for at, target in enumerate(targets)),
        *((os.POSIX_SPAWN_CLOSE, above + at) for at in range(len(given))),
    ]
    kind = WARM_INSTANCE if warms else INSTANCE
    argv = [sys.executable, "-m", "roost.worker", config.path, kind, name, str(len(groups))]
    defaults = [signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1]
    return os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsigdef=defaults)


def report_trouble(ready_fd: int, trouble: str) -> NoReturn:
    """In an instance that can't start: says why and ends."""
    os.write(ready_fd, b"!" + trouble.encode())
    os._exit(1)
