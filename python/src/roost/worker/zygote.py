"""The zygote of a node: restores the checkpoint once, forks or spawns instances, and watches them."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from roost.worker import groups, prepare, sockets, warmup
from roost.worker.children import Child, Pipes, report_trouble, request_ended, spawn
from roost.worker.config import Config
from roost.worker.control import Control, close_all, refusal
from roost.worker.execute import Cell
from roost.worker.instance import Start, prepare_namespace
from roost.worker.mark import read_mark
from roost.worker.output import Capture, LogWriter
from roost.worker.restore import Restorer, error_json

SHUTDOWN_SECONDS = 5.0


class Zygote:
    """Single-threaded: one poll loop over the control socket, the children's pipes and signals."""

    def __init__(self, config: Config, saved_environment: prepare.Saved) -> None:
        self.config = config
        self.saved_environment = saved_environment
        self.log = LogWriter(config.log, config.node, config.release, None, config.max_log_line_bytes)
        self.capture = Capture(self.log)
        self.restorer: Restorer | None = None
        self.cell: Cell | None = None
        self.error: dict[str, Any] | None = None
        self.warnings: list[str] = []
        self.mode, self.mode_reason, self.threads = "fork", "", 1
        self.children: dict[str, Child] = {}
        self._controls: dict[int, Control] = {}
        self._stopping: float | None = None
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._wake_read, self._wake_write = socket.socketpair()
        self._start: Start | None = None
        self._rehearsal: warmup.Outcome | None = None
        self._warms = config.warm_up == "instance"
        self._unheard: deque[dict[str, Any]] = deque(maxlen=100)

    def run(self) -> Start | None:
        """Serves until `shutdown`; in a forked instance it returns what that instance begins with."""
        self.listener = sockets.listen(self.config.sockets, "zygote.sock")
        self.listener.setblocking(False)
        self._signals()
        self._restore()
        self.poller = select.epoll()
        self.pipes = Pipes(self.config, self.log, self.poller)
        self.poller.register(self.listener.fileno(), select.EPOLLIN)
        self.poller.register(self._wake_read.fileno(), select.EPOLLIN)
        while not self._finished():
            for fd, events in self.poller.poll(self._poll_seconds()):
                self._ready(fd, events)
                if self._start is not None:
                    return self._start
            self.log.flush()
        for child in self.children.values():
            child.forget(self.config.sockets)
        try:
            os.unlink(os.path.join(self.config.sockets, "zygote.sock"))
        except OSError:
            pass
        self.capture.collect()
        self.log.flush()
        return None

    def _signals(self) -> None:
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, prepare.nothing)
        signal.signal(signal.SIGINT, prepare.nothing)
        signal.signal(signal.SIGTERM, lambda *_: self._shut_down())

    def _restore(self) -> None:
        stdout, stderr = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.capture.stdout, self.capture.stderr
        try:
            self.restorer = Restorer(self.config)
            self.cell = prepare_namespace(self.config, self.restorer)
        except BaseException as error:
            self.error = error_json(error)
        finally:
            sys.stdout, sys.stderr = stdout, stderr
            self.capture.collect()
            self.log.flush()
        self.mode, self.mode_reason, self.threads = prepare.choose_mode(self.config)
        self._tell()
        if self.restorer is not None:
            self.warnings = list(self.restorer.warnings)
        if self.config.isolation == "request" and self.threads > 1:
            self.warnings.append(
                f"isolation request forks a process with threads: {self.mode_reason}; calls may hang"
            )
        gc.collect()
        gc.freeze()

    def _tell(self) -> None:
        """What became of the restore, in the node's log."""
        if self.error is not None:
            text = f"the checkpoint could not be restored: {self.error['errorMessage']}"
        else:
            seconds = self.restorer.seconds if self.restorer else 0.0
            text = f"restored the checkpoint in {seconds:.3f} s; instances are started by {self.mode}: {self.mode_reason}"
        self.log.add("system", text)
        self.log.flush()

    def _poll_seconds(self) -> float | None:
        if self._stopping is None:
            return None
        return max(0.0, self._stopping - time.monotonic())

    def _finished(self) -> bool:
        if self._stopping is None:
            return False
        if time.monotonic() >= self._stopping:
            for child in self.children.values():
                if child.running:
                    child.signal_with(signal.SIGKILL)
            self._stopping = time.monotonic() + 1.0
        return not any(child.running for child in self.children.values())

    def _shut_down(self) -> None:
        if self._stopping is None:
            self._stopping = time.monotonic() + SHUTDOWN_SECONDS
            for child in self.children.values():
                if child.running:
                    child.signal_with(signal.SIGTERM)

    def _ready(self, fd: int, events: int) -> None:
        if fd == self._wake_read.fileno():
            self.take_wakeups()
            self._reap()
        elif fd == self.listener.fileno():
            self._accept()
        elif fd in self._controls:
            self._serve_control(self._controls[fd], events)
        elif self.pipes.owns(fd):
            self.pipes.read(fd)
        else:
            self._listening(fd)

    def _accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        self._controls[sock.fileno()] = Control(sock)
        self.poller.register(sock.fileno(), select.EPOLLIN)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((c for c in self.children.values() if c.pid == pid and c.running), None)
            if child is None:
                continue  # as PID 1 of a sandbox the zygote also inherits orphans
            child.ended(status)
            self._warmed_to_death(child)
            if child.ready_fd >= 0:
                self._listening(child.ready_fd)
            self.pipes.drain(child.output_fd)
            child.unlink(self.config.sockets)
            self.log.flush()
            self._settle(child)
            self._publish(child.event())

    def _publish(self, event: dict[str, Any]) -> bool:
        heard = [control for control in self._controls.values() if control.events]
        for control in heard:
            self._send(control, event)
        return bool(heard)

    def _warmed_to_death(self, child: Child) -> None:
        """An instance that did not survive its warm-up must not be followed by others like it."""
        if self._warms and read_mark(self.config.sockets, child.instance) == warmup.NAME:
            self._warms = False
            message = f"instance {child.instance} {child.how()} in its warm-up; instances start without it from now on"
            self._rehearsal = warmup.Outcome("failed", message)
            self.log.add("system", f"warm-up: {message}")

    def _listening(self, fd: int) -> None:
        """A child's ready pipe: `1` when it listens, `!` and words when it can't, end of file when it died before."""
        child = next((c for c in self.children.values() if c.ready_fd == fd), None)
        if child is None:
            return  # read already, when the child was reaped
        self.poller.unregister(fd)
        data = os.read(fd, 4096)
        os.close(fd)
        child.ready_fd = -1
        child.listens = data == b"1"
        if data[:1] == b"!":
            child.trouble = data[1:].decode("utf-8", "replace")
        if child.listens:
            self._settle(child)

    def _settle(self, child: Child) -> None:
        """The outcome of a start is known: answers those who wait for it."""
        for control in list(self._controls.values()):
            if control.waiting == child.instance:
                control.waiting = None
                self._send(control, child.started())
                self._requests(control)

    def _serve_control(self, control: Control, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send(control, None)
        if events & ~select.EPOLLOUT:
            if not control.receive():
                self._drop(control)
                return
            self._requests(control)

    def _requests(self, control: Control) -> None:
        while control.waiting is None and b"\n" in control.data and self._start is None:
            line, _, control.data = control.data.partition(b"\n")
            try:
                request = json.loads(line)
                operation = request["op"]
                answer = getattr(self, f"_op_{operation}", None)
            except (ValueError, KeyError, TypeError):
                answer, request, operation = None, {}, line[:80].decode("utf-8", "replace")
            if answer is None:
                self._send(control, refusal("control", f"unknown operation {operation!r}"))
                continue
            name = request.get("instance")
            if operation in ("start", "stop", "kill", "forget", "ended") and not sockets.is_instance_id(name):
                self._send(
                    control, refusal("control", f"{operation}: instance: an id is needed, got {name!r}")
                )
                continue
            control.asked = request
            reply = answer(control, name)
            if reply is not None:
                self._send(control, reply)

    def _send(self, control: Control, body: dict[str, Any] | None) -> None:
        if control.send(body):
            self.poller.modify(control.sock.fileno(), control.interest())
        else:
            self._drop(control)

    def _drop(self, control: Control) -> None:
        if self._controls.pop(control.sock.fileno(), None) is not None:
            self.poller.unregister(control.sock.fileno())
            control.close()

    def _op_info(self, control: Control, _: Any) -> dict[str, Any]:
        restorer = self.restorer
        return {
            "ok": True,
            "state": "ready" if self.error is None else "failed",
            "mode": self.mode,
            "modeReason": self.mode_reason,
            "threads": self.threads,
            "restoreSeconds": round(restorer.seconds, 6) if restorer else 0.0,
            "restored": sorted(restorer.restored) if restorer else [],
            "python": ".".join(map(str, sys.version_info[:3])),
            "error": self.error,
            "warnings": self.warnings,
            "warmUp": self._rehearsal.to_json() if self._rehearsal else None,
            "instances": [child.to_json() for child in self.children.values()],
        }

    def _op_rehearse(self, control: Control, _: Any) -> dict[str, Any]:
        files = control.take_files()
        control.set_environment()
        try:
            if len(files) != control.announced:
                return refusal("start", f"groups: {control.announced!r} were announced, {len(files)} came")
            if self.error is not None or self.config.warm_up == "off" or self._stopping is not None:
                return {"ok": True, "warmUp": None}
            outcome = self._rehearsal = warmup.rehearse(self, files)
        finally:
            close_all(files)
        if outcome.state == "failed":
            self._warms = False
        self.mode, self.mode_reason, self.threads = prepare.choose_mode(self.config)
        self.log.add("system", f"warm-up: {outcome.message}")
        self.log.flush()
        self._reap()
        return {"ok": True, "warmUp": outcome.to_json()}

    @property
    def wake_fd(self) -> int:
        """Readable when a signal came."""
        return self._wake_read.fileno()

    @property
    def is_stopping(self) -> bool:
        """Whether `shutdown` or SIGTERM came."""
        return self._stopping is not None

    def take_wakeups(self) -> None:
        """Empties what signals wrote."""
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            pass

    def let_go(self) -> None:
        """In a forked child: closes everything that is the zygote's."""
        signal.set_wakeup_fd(-1)
        os.close(self._lifeline_write)
        self.poller.close()
        self.listener.close()
        for control in self._controls.values():
            control.close()
        for child in self.children.values():
            if child.ready_fd >= 0:
                os.close(child.ready_fd)
        self.pipes.close()
        self.log.close()
        self._wake_read.close()
        self._wake_write.close()

    def _op_start(self, control: Control, name: str) -> dict[str, Any] | None:
        files = control.take_files()
        control.set_environment()
        try:
            return self._begin(control, name, files)
        finally:
            if self._start is None:  # the forked instance has closed its own
                close_all(files)

    def _begin(self, control: Control, name: str, files: list[int]) -> dict[str, Any] | None:
        if len(files) != control.announced:
            return refusal(
                "start",
                f"groups: {control.announced!r} descriptors were announced, {len(files)} came with the request",
            )
        if self.error is not None:
            return {"ok": False, "error": self.error}
        if self._stopping is not None:
            return refusal("start", "the zygote is shutting down")
        child = self.children.get(name)
        if child is not None and not child.running:
            return refusal("start", f"instance {name} has {child.how()}; forget it first")
        if child is None:
            try:
                child = self._launch(name, files)
            except OSError as error:
                return refusal("start", f"a process can't be made: {error.strerror}", type(error).__name__)
            if child is None:
                return None
        if not child.listens:
            control.waiting = name
            return None
        return {"ok": True, "pid": child.pid}

    def _launch(self, name: str, files: list[int]) -> Child | None:
        started = time.time()
        ready_read, ready_write = os.pipe()
        output_read, output_write = os.pipe()
        try:
            if self.mode == "spawn":
                pid = spawn(
                    self.config, name, ready_write, output_write, self._lifeline_read,
                    self.saved_environment, files, self._warms,
                )  # fmt: skip
            else:
                kept = prepare.random_state() if self.config.keep_random_state else None
                self.log.flush()
                groups.for_next_fork(files)
                try:
                    pid = os.fork()
                finally:
                    groups.for_next_fork(())
                if pid == 0:
                    self._become(name, ready_read, ready_write, output_read, output_write, started, kept)
                    return None
        except OSError:
            os.close(ready_read)
            os.close(output_read)
            raise
        finally:
            if self._start is None:
                os.close(ready_write)
                os.close(output_write)
        child = Child(name, pid, ready_read, output_read)
        self.children[name] = child
        self.poller.register(ready_read, select.EPOLLIN)
        self.pipes.add(output_read, name)
        return child

    def _become(
        self,
        name: str,
        ready_read: int,
        ready_write: int,
        output_read: int,
        output_write: int,
        at: float,
        kept: Any,
    ) -> None:
        """In the forked child: lets go of everything that is the zygote's."""
        trouble = groups.trouble()
        if trouble is not None:
            report_trouble(ready_write, trouble)
        os.dup2(output_write, 1)
        os.dup2(output_write, 2)
        for fd in (output_write, ready_read, output_read):
            os.close(fd)
        self.let_go()
        prepare.unpin_threads(self.saved_environment)
        self._start = Start(
            name, self.config, ready_write, self._lifeline_read, at, self.saved_environment,
            self.restorer, self.cell, kept, self._warms,
        )  # fmt: skip

    def _op_stop(self, control: Control, name: str) -> dict[str, Any]:
        return self._signal(name, signal.SIGTERM)

    def _op_kill(self, control: Control, name: str) -> dict[str, Any]:
        return self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> dict[str, Any]:
        child = self.children.get(name)
        if child is not None and child.running:
            child.signal_with(number)
        return {"ok": True}

    def _op_forget(self, control: Control, name: str) -> dict[str, Any]:
        child = self.children.get(name)
        if child is not None and child.running:
            return refusal("forget", f"instance {name} is running; stop or kill it first")
        if child is not None:
            del self.children[name]
            child.forget(self.config.sockets)
        return {"ok": True}

    def _op_events(self, control: Control, _: Any) -> None:
        control.events = True
        for child in self.children.values():
            if not child.running:
                self._send(control, child.event())
        for event in self._unheard:
            self._send(control, event)
        self._unheard.clear()

    def _op_ended(self, control: Control, name: str) -> None:
        event = request_ended(name, control.asked)
        if not self._publish(event):
            self._unheard.append(event)

    def _op_shutdown(self, control: Control, _: Any) -> dict[str, Any]:
        self._shut_down()
        return {"ok": True}
