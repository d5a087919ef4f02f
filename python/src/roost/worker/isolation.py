"""`isolation: request`: every request runs in a fork of the pinned state, which ends with it.

This process never runs a request itself. One spare child is forked ahead of time, so that a request does not
wait for its fork; the next spare is forked while the request runs.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import traceback
from time import monotonic
from typing import TYPE_CHECKING

from roost.worker import frames, prepare, sockets
from roost.worker.errors import CellFailure
from roost.worker.execute import Executor

if TYPE_CHECKING:
    from roost.worker.instance import Instance

GRACE_SECONDS = 0.5
"""A child that does not answer this long after its time limit is killed; the service waits a whole second."""


class Spare:
    """A child that waits for its one request."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.sock = sock


class ForkingExecutor:
    """Runs each request in a child."""

    def __init__(self, instance: Instance, executor: Executor) -> None:
        self._instance = instance
        self._executor = executor
        self._unreaped: list[int] = []
        self._random_state = instance.start.random_state
        gc.collect()
        gc.freeze()
        self._spare: Spare | None = None
        self._spare = self._fork()

    def run(self, tag: int, timeout_ms: int, request: bytes, raw: bytes, plain: bool = False) -> bytes:
        """The answer of one request. Whatever the cell does to its process, this one goes on."""
        self._reap()
        limit = timeout_ms / 1000 if timeout_ms else self._executor.config.timeout_seconds
        try:
            spare = self._spare or self._fork()
        except OSError as error:
            return _failed(
                tag, "cell", "OSError", f"a process for the request can't be made: {error.strerror}"
            )
        self._spare = None
        frame = frames.execute_frame(tag, raw, request, timeout_ms)
        try:
            spare.sock.sendall(frame)
        except OSError:  # it was killed while it waited
            self._kill(spare)
            try:
                spare = self._fork()
                spare.sock.sendall(frame)
            except OSError as error:
                return _failed(
                    tag, "cell", "OSError", f"no process can be given the request: {error.strerror}"
                )
        deadline = monotonic() + limit + GRACE_SECONDS
        try:
            self._spare = self._fork()
        except OSError:
            pass  # tried again when the next request comes
        return self._wait(tag, request, spare, deadline, limit)

    def _wait(self, tag: int, request: bytes, spare: Spare, deadline: float, limit: float) -> bytes:
        wake = self._instance.wake_read
        poller = select.poll()
        poller.register(spare.sock.fileno(), select.POLLIN)
        poller.register(wake.fileno(), select.POLLIN)
        data = bytearray()
        while True:
            left = deadline - monotonic()
            if left <= 0:
                self._kill(spare)
                message = f"the cell did not end within {limit:.2g} s, ignored the interrupt and was killed"
                return _failed(tag, "timeout", "RequestTimeout", message)
            for fd, _ in poller.poll(left * 1000 + 1):
                if fd == wake.fileno():
                    if self._instance.cancelled_meanwhile():
                        self._kill(spare)
                        return _failed(
                            tag, "cancelled", "RequestCancelled", "the caller gave up before the cell ended"
                        )
                    continue
                try:
                    chunk = spare.sock.recv(1 << 20)
                except OSError:
                    chunk = b""
                if not chunk:
                    return self._ended(tag, request, spare)
                data += chunk
                if len(data) >= 13 and len(data) >= 4 + frames.HEAD.unpack_from(data)[0]:
                    spare.sock.close()
                    self._unreaped.append(spare.pid)
                    return bytes(data)

    def _fork(self) -> Spare:
        ours, theirs = socket.socketpair()
        instance = self._instance
        instance.log.flush()
        instance.forking = True
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        finally:
            instance.forking = False
        if pid == 0:
            ours.close()
            self._child(theirs)
        theirs.close()
        return Spare(pid, ours)

    def _child(self, sock: socket.socket) -> None:
        """Never returns."""
        instance = self._instance
        code = 1
        try:
            instance.become_child()
            if self._spare is not None:
                self._spare.sock.close()
            prepare.be_first_without_memory()
            prepare.reseed(instance.config, self._random_state)
            prepare.use_cpus(instance.config.cpus)
            whole = _receive(sock)
            if whole is not None:
                _, _, tag = frames.HEAD.unpack_from(whole)
                timeout, size = frames.EXECUTE_HEAD.unpack_from(whole, 13)
                data = self._executor.run(tag, timeout, whole[18 : 18 + size], whole[18 + size :])
                sock.sendall(data)
            code = 0
        except BaseException:
            traceback.print_exc()  # ours, not the cell's: `run` raises nothing
        finally:
            instance.capture.collect()
            instance.log.flush()
            instance.exit_now(code)

    def _kill(self, spare: Spare) -> None:
        os.kill(spare.pid, signal.SIGKILL)
        spare.sock.close()
        self._unreaped.append(spare.pid)

    def _ended(self, tag: int, request: bytes, spare: Spare) -> bytes:
        """Not only the caller hears of it: the service does too, which knows whether memory was short."""
        spare.sock.close()
        _, status = os.waitpid(spare.pid, 0)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = None if number else os.WEXITSTATUS(status)
        told = {"op": "ended", "instance": self._instance.start.instance, "code": code, "signal": number}
        told["request"] = request.decode("ascii", "replace").partition(" ")[0]
        line = json.dumps(told, separators=(",", ":")).encode() + b"\n"
        sockets.send_once(self._instance.config.sockets, "zygote.sock", line)
        if number:
            hint = " (most often: the memory limit)" if number == signal.SIGKILL else ""
            how = f"by signal {signal.Signals(number).name}{hint}"
        else:
            how = f"with exit code {code}"
        return _failed(
            tag, "cell", "ProcessEnded", f"the process of the request ended {how} before the cell did"
        )

    def _reap(self) -> None:
        still = []
        for pid in self._unreaped:
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    still.append(pid)
            except ChildProcessError:
                pass
        self._unreaped = still


def _receive(sock: socket.socket) -> bytes | None:
    data = bytearray()
    while len(data) < 13 or len(data) < 4 + frames.HEAD.unpack_from(data)[0]:
        chunk = sock.recv(1 << 20)
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _failed(tag: int, kind: str, name: str, message: str) -> bytes:
    return frames.json_frame(frames.ERROR, tag, CellFailure(kind, name, message).to_json())
