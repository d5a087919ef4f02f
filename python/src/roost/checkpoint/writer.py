"""Phase 2: a forked child hashes, uploads and registers, while the notebook goes on."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import select
import signal
import time
import traceback
import warnings
from typing import Any, Dict, List, Optional

from roost.checkpoint.capture import Captured, Cell, capture, raw, with_digests
from roost.client import APIError, Client

MAX_UNDER_WAY = 3
DEADLINE_SECONDS = 3600


class Saved:
    """A checkpoint that is being saved, and then how that went."""

    def __init__(self, pid: int, fd: int, pause: float, cell: Cell, failures: List[Any]) -> None:
        self.pid = pid
        self.fd = fd
        self.pause = pause
        self.cell = cell
        self.failures = failures
        self.result: Optional[Dict[str, Any]] = None
        self._buffer = b""

    def poll(self, timeout: Optional[float] = 0.0) -> bool:
        """True when it has ended; waits at most `timeout` seconds (None: until it ends)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.result is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not _readable(self.fd, left):
                return False
            data = os.read(self.fd, 1 << 16)
            if data:
                self._buffer += data
                continue
            os.close(self.fd)
            try:
                _, status = os.waitpid(self.pid, 0)
            except ChildProcessError:
                status = 0
            try:
                self.result = json.loads(self._buffer)
            except ValueError:
                self.result = {
                    "error": f"the process that saves the checkpoint ended early (status {status})"
                }
        return True


def _readable(fd: int, seconds: Optional[float]) -> bool:
    """Waits until the descriptor has something to read or its other end is closed."""
    poller = select.poll()  # select() refuses descriptors over 1023, and notebooks open many
    poller.register(fd, select.POLLIN | select.POLLHUP)
    return bool(poller.poll(None if seconds is None else seconds * 1000))


class Writer:
    """Saves checkpoints of one namespace, in the order in which they were asked for."""

    def __init__(self, namespace: Dict[str, Any], client: Client) -> None:
        self.namespace = namespace
        self.client = client
        self.under_way: List[Saved] = []
        self._ended: List[Saved] = []

    @property
    def is_full(self) -> bool:
        """Whether the next save would have to wait for an earlier one."""
        self._sweep()
        return len(self.under_way) >= MAX_UNDER_WAY

    def save(self, initial: Dict[str, Any], cell: Cell, operation: str = "Cell run") -> Saved:
        """Returns when the user may go on; `pause` of the answer is how long that took."""
        self._sweep()
        while len(self.under_way) >= MAX_UNDER_WAY:
            self.under_way[0].poll(None)
            self._sweep()
        started = time.perf_counter()
        captured = capture(self.namespace, initial, cell, operation)
        previous = self.under_way[-1].fd if self.under_way else None
        read_end, write_end = os.pipe()
        gc_enabled = gc.isenabled()
        gc.disable()  # a collection in the child would unshare the pages it is about to hash
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child runs no thread's code
            pid = os.fork()
        if pid == 0:
            self._child(captured, write_end, previous)
        if gc_enabled:
            gc.enable()
        os.close(write_end)
        saved = Saved(pid, read_end, time.perf_counter() - started, cell, captured.failures)
        self.under_way.append(saved)
        return saved

    def reap(self) -> List[Saved]:
        """Those that have ended since the last call; each is handed out once."""
        self._sweep()
        ended, self._ended = self._ended, []
        return ended

    def _sweep(self) -> None:
        # In order: each registers its checkpoint after the one before it.
        while self.under_way and self.under_way[0].poll():
            self._ended.append(self.under_way.pop(0))

    def _child(self, captured: Captured, fd: int, previous: Optional[int]) -> None:
        """Only hashes, writes to sockets and ends. Never returns."""
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.alarm(DEADLINE_SECONDS)
            try:
                answer = upload(self.client, captured, previous)
            except APIError as error:
                answer = {"error": str(error), "field": error.field}
            except BaseException as error:
                tail = traceback.format_exc().splitlines()[-3:]
                answer = {"error": f"{type(error).__name__}: {error}", "traceback": tail}
            data = json.dumps(answer).encode()
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os._exit(0)


def upload(client: Client, captured: Captured, previous: Optional[int] = None) -> Dict[str, Any]:
    """Hashes every blob, sends those that the server lacks and registers the manifest."""
    started = time.perf_counter()
    client.close()
    digests = ["sha256:" + hashlib.sha256(raw(data)).hexdigest() for data in captured.blobs]
    manifest = with_digests(captured, digests)
    manifest["distributions"] = captured.needs.distributions()
    missing = set(client.missing(sorted(set(digests))))
    sent = 0
    count = 0
    for digest, data in zip(digests, captured.blobs):
        if digest not in missing:
            continue
        missing.discard(digest)
        view = raw(data)
        client.upload(digest, view.cast("B") if view.format != "B" else view)
        sent += view.nbytes
        count += 1
    if previous is not None:
        # The checkpoint before this one comes first in the list: its pipe is readable when it has ended.
        _readable(previous, 600)
    resource = client.register(manifest)
    client.close()
    return {
        "checkpoint": resource,
        "blobs": count,
        "bytes": sent,
        "seconds": round(time.perf_counter() - started, 4),
    }
