"""An instance: waits for `begin`, then executes requests until SIGTERM."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from time import monotonic
from typing import Any, NamedTuple, Protocol

from roost.worker import codec, frames, prepare, sockets, types, warmup
from roost.worker.config import Config
from roost.worker.connections import Connections
from roost.worker.errors import CellFailure, RequestTimeout
from roost.worker.execute import Cell, Executor
from roost.worker.mark import open_mark
from roost.worker.output import Capture, LogWriter
from roost.worker.restore import Restorer, error_json
from roost.worker.timeouts import Interrupter

FLUSH_SECONDS = 0.001
"""Answers wait for the rest of their batch at most this long."""

DRAIN_SECONDS = 2.0


class RunsRequests(Protocol):
    """In this process (`Executor`) or in a fork for each request (`isolation.ForkingExecutor`)."""

    def run(self, tag: int, timeout_ms: int, request: bytes, raw: bytes, plain: bool = False) -> bytes:
        """The answer frame of one request; `plain`: the service found nothing unusual in its JSON."""


class Start(NamedTuple):
    """What a new instance is given."""

    instance: str
    config: Config
    ready_fd: int
    lifeline_fd: int
    started: float
    saved_environment: prepare.Saved
    restorer: Restorer | None = None
    cell: Cell | None = None
    random_state: Any = None
    warms: bool = False
    """Whether it runs the node's example before it is ready."""


class Instance:
    """The frame loop of one instance."""

    def __init__(self, start: Start) -> None:
        config = start.config
        self.start = start
        self.config = config
        self.log = LogWriter(
            config.log, config.node, config.release, start.instance, config.max_log_line_bytes
        )
        self.capture = Capture(self.log)
        self.mark = open_mark(config.sockets, start.instance)
        self.interrupter = Interrupter()
        self.stopping = False
        self.executor: RunsRequests | None = None
        self.phases: dict[str, float] = {}
        self.failure: dict[str, Any] | None = None
        self.wake_read, self._wake_write = socket.socketpair()
        self._pid = os.getpid()
        self.forking = False
        self.exit_now = os._exit

    def serve(self) -> None:
        """Listens, tells the zygote, and runs until SIGTERM or the end of the zygote. Never returns."""
        self._signals()
        listener = sockets.listen(self.config.sockets, f"{self.start.instance}.sock")
        self.connections = Connections(listener)
        poller = self.connections.poller
        poller.register(self.wake_read.fileno(), 1)
        poller.register(self.start.lifeline_fd, 1)
        os.write(self.start.ready_fd, b"1")
        os.close(self.start.ready_fd)
        self.phases["fork"] = round(time.time() - self.start.started, 6)
        sys.stdout = self.capture.stdout
        sys.stderr = self.capture.stderr
        self._loop()
        self.leave(0)

    def leave(self, code: int) -> None:
        """Ends the process without waiting for threads of user code."""
        self.connections.drain(DRAIN_SECONDS)
        self.capture.collect()
        self.log.flush()
        self.exit_now(code)

    def _signals(self) -> None:
        self.wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, prepare.nothing)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.interrupter.read_cancels = self._read_cancels
        self.interrupter.install()
        os.register_at_fork(after_in_child=self._forked)
        os._exit = self._exit_with_log  # type: ignore[assignment]

    def _on_stop(self, signum: int, frame: Any) -> None:
        self.stopping = True

    def _forked(self) -> None:
        """User code forked (multiprocessing): its child is no instance."""
        if not self.forking:
            prepare.reset_signals()
            self.capture.forget()

    def _exit_with_log(self, code: int) -> None:
        """What the cell printed before `os._exit` explains why it did."""
        if os.getpid() == self._pid:
            self.capture.collect()
            self.log.flush()
        self.exit_now(code)

    def become_child(self) -> None:
        """In the fork for one request: keeps log and limits, lets go of the parent's sockets and signals."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.wake_read.close()
        self._wake_write.close()
        os.close(self.start.lifeline_fd)
        self.connections.detach_after_fork()
        self._pid = os.getpid()
        self.interrupter.read_cancels = lambda: False
        self.interrupter.install()

    def cancelled_meanwhile(self) -> bool:
        """While a child runs the request: reads what woke this process."""
        self._other(self.wake_read.fileno())
        return self.interrupter.take_poke() and self._read_cancels()

    def _read_cancels(self) -> bool:
        self.connections.read_all()
        running = self.connections.running
        return running is not None and self.connections.take_cancelled(*running)

    def _loop(self) -> None:
        connections = self.connections
        poll = connections.poller.poll
        queue = connections.queue
        handle = connections.handle
        while True:
            for fd, events in poll():
                if not handle(fd, events):
                    self._other(fd)
            if queue:
                self._run()
            if self.stopping:
                return

    def _other(self, fd: int) -> None:
        if fd == self.start.lifeline_fd:
            self.stopping = True  # the zygote is gone: nobody would restart or stop this instance
            return
        try:
            self.wake_read.recv(4096)
        except BlockingIOError:
            pass

    def _run(self) -> None:
        """Everything in the queue, and what arrives meanwhile with a cancel."""
        connections = self.connections
        queue = connections.queue
        interrupter = self.interrupter
        capture = self.capture
        executor = self.executor
        answer = connections.answer
        mark = self.mark
        due = monotonic() + FLUSH_SECONDS
        while queue:
            connection, kind, tag, timeout, request, raw = queue.popleft()
            if connection.closed:
                continue
            if interrupter.poked and interrupter.take_poke():
                connections.read_all()
            if connections.cancelled and connections.take_cancelled(connection, tag):
                gone = CellFailure(
                    "cancelled", "RequestCancelled", "the caller gave up before the cell began"
                )
                answer(connection, frames.json_frame(frames.ERROR, tag, gone.to_json()))
                continue
            if (kind == 5 or kind == 2) and executor is not None:
                connections.running = (connection, tag)
                mark(request)
                try:
                    data = executor.run(tag, timeout, request, raw, kind == 5)
                except RequestTimeout:  # raised a second time, after the cell had ended
                    late = CellFailure(
                        "timeout", "RequestTimeout", "the cell did not end within its time limit"
                    )
                    data = frames.json_frame(frames.ERROR, tag, late.to_json())
                connections.running = None
                answer(connection, data)
            else:
                answer(connection, self._control(kind, tag))
                executor = self.executor
            if monotonic() > due:
                connections.flush()
                self.log.flush()
                due = monotonic() + FLUSH_SECONDS
        mark(b"")
        connections.flush()
        connections.cancelled.clear()  # what is left was for connections that are gone
        capture.request = None
        capture.running = False
        capture.due = 0.0
        self.log.flush()

    def _control(self, kind: int, tag: int) -> bytes:
        if kind == frames.PING:
            return frames.frame(frames.PONG, tag)
        if kind == frames.BEGIN:
            if self.executor is None and self.failure is None:
                self._begin()
            if self.failure is not None:
                return frames.json_frame(frames.FAILED, tag, self.failure)
            return frames.json_frame(frames.READY, tag, {"phases": self.phases})
        reason = self.failure or {
            "phase": "begin",
            "errorName": "ProtocolError",
            "errorMessage": f"frame of kind {kind} before begin"
            if self.executor is None
            else f"unknown kind {kind}",
            "traceback": [],
        }
        return frames.json_frame(frames.FAILED, tag, reason)

    def _begin(self) -> None:
        """The first moment at which code of the checkpoint may run in this process."""
        try:
            self.executor = self._executor()
        except BaseException as error:
            self.failure = error_json(error)
        self.capture.collect()
        self.log.flush()

    def _executor(self) -> RunsRequests:
        start = self.start
        started = monotonic()
        restorer = start.restorer
        cell = start.cell
        if restorer is None or cell is None:
            restorer = Restorer(self.config)
            cell = prepare_namespace(self.config, restorer)
            gc.collect()
            gc.freeze()
        restorer.restore_after_fork()
        gc.enable()
        executor = Executor(
            self.config, cell, restorer.namespace, self.capture, self.interrupter, codec.chosen()
        )
        if self.config.isolation == "request":
            from roost.worker.isolation import ForkingExecutor

            forking: RunsRequests = ForkingExecutor(self, executor)
            self.phases["restore"] = round(monotonic() - started, 6)
            return forking
        prepare.reseed(self.config, start.random_state)
        prepare.use_cpus(self.config.cpus)
        self.phases["restore"] = round(monotonic() - started, 6)
        if start.warms:
            self.phases["warmUp"] = round(warmup.run_in(self, executor), 6)
        return executor


def prepare_namespace(config: Config, restorer: Restorer) -> Cell:
    """Restores, and loads what every request would load first, so that forks share it."""
    cell = Cell(restorer.cell)
    types.check_declared(config.inputs, inputs=True)
    types.check_declared(config.outputs, inputs=False)
    restorer.restore()
    cell.load_imports()
    prepare.preload()
    return cell
