"""The zygote's view of its instances: their processes and what comes out of their descriptors 1 and 2."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Any

from roost.worker.config import Config
from roost.worker.output import LogWriter
from roost.worker.prepare import Saved

INSTANCE_READY_FD = 3
INSTANCE_LIFELINE_FD = 4


class Child:
    """One instance, running or ended and not yet forgotten."""

    def __init__(self, instance: str, pid: int, ready_fd: int, output_fd: int) -> None:
        self.instance = instance
        self.pid = pid
        self.ready_fd = ready_fd
        self.output_fd = output_fd
        self.listens = False
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
        if self.signal is not None:
            return f"ended by signal {self.signal}"
        return f"ended with code {self.code}"

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


def spawn(config: Config, name: str, ready_fd: int, output_fd: int, lifeline_fd: int, saved: Saved) -> int:
    """Starts a fresh interpreter for one instance. posix_spawn is safe where the zygote has threads."""
    environment = dict(os.environ)
    for key, value in saved.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = value
    # The two descriptors may be 3 or 4 themselves: first both go out of the way.
    ready, lifeline = os.dup(ready_fd), os.dup(lifeline_fd)
    high_ready, high_lifeline = max(ready, 200) + 1, max(lifeline, 200) + 2
    actions = [
        (os.POSIX_SPAWN_DUP2, ready, high_ready),
        (os.POSIX_SPAWN_DUP2, lifeline, high_lifeline),
        (os.POSIX_SPAWN_DUP2, output_fd, 1),
        (os.POSIX_SPAWN_DUP2, output_fd, 2),
        (os.POSIX_SPAWN_DUP2, high_ready, INSTANCE_READY_FD),
        (os.POSIX_SPAWN_DUP2, high_lifeline, INSTANCE_LIFELINE_FD),
        (os.POSIX_SPAWN_CLOSE, high_ready),
        (os.POSIX_SPAWN_CLOSE, high_lifeline),
    ]
    try:
        argv = [sys.executable, "-m", "roost.worker", config.path, "--instance", name]
        defaults = [signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1]
        return os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsigdef=defaults)
    finally:
        os.close(ready)
        os.close(lifeline)
