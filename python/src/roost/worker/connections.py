"""Connections of an instance: bytes to requests in order of arrival, answers back with one send per batch."""

from __future__ import annotations

import select
import socket
from collections import deque

from roost.worker import frames

READ_BYTES = 65536
MAX_UNSENT_BYTES = 32 * 1024 * 1024
"""A peer that does not read its answers is not read from either."""

Request = tuple["Connection", int, int, int, bytes, bytes]
"""Connection, kind, tag, timeout in ms, request id, raw input."""


class Connection:
    """One accepted stream and what is half-way in or out."""

    __slots__ = ("answers", "closed", "fd", "need", "sock", "tail", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.tail = b""
        self.need: tuple[bytearray, int] | None = None
        self.answers: list[bytes] = []
        self.unsent = b""
        self.closed = False


class Connections:
    """The listening socket, its connections, and the queue of what they asked for."""

    def __init__(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self.listener = listener
        self.queue: deque[Request] = deque()
        self.running: tuple[Connection, int] | None = None
        self.cancelled: list[tuple[Connection, int]] = []
        self._all: dict[int, Connection] = {}
        self._dirty: list[Connection] = []
        self.poller = select.epoll()
        self.poller.register(listener.fileno(), select.EPOLLIN)
        self._execute = frames.EXECUTE_HEAD
        self._head = frames.HEAD

    def handle(self, fd: int, events: int) -> bool:
        """One readiness event; False when the descriptor is not ours."""
        connection = self._all.get(fd)
        if connection is None:
            if fd == self.listener.fileno():
                self._accept()
                return True
            return False
        if events & select.EPOLLOUT:
            self._send(connection, connection.unsent)
        if events & ~select.EPOLLOUT and not connection.closed:
            self.read(connection)
        return True

    def read_all(self) -> None:
        """Reads whatever is there, without waiting."""
        self._accept()
        for connection in list(self._all.values()):
            self.read(connection)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(sock)
            self._all[connection.fd] = connection
            self.poller.register(connection.fd, select.EPOLLIN)

    def read(self, connection: Connection) -> None:
        """One receive; whole frames go to the queue."""
        try:
            if connection.need is not None:
                self._fill(connection)
                return
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return
        if connection.tail:
            data = connection.tail + data
            connection.tail = b""
        self._split(connection, data)

    def _split(self, connection: Connection, data: bytes) -> None:
        at, end = 0, len(data)
        head, execute, queue = self._head, self._execute, self.queue
        while end - at >= 13:
            length, kind, tag = head.unpack_from(data, at)
            stop = at + 4 + length
            if length < 9 or length > frames.MAX_FRAME_BYTES:
                self.close(connection)
                return
            if stop > end:
                if stop - at > READ_BYTES:
                    whole = bytearray(stop - at)
                    whole[: end - at] = data[at:]
                    connection.need = (whole, end - at)
                    return
                break
            if kind == 2 or kind == 5:
                if length < 14:
                    self.close(connection)
                    return
                timeout, size = execute.unpack_from(data, at + 13)
                body = at + 18 + size
                queue.append((connection, kind, tag, timeout, data[at + 18 : body], data[body:stop]))
            elif kind == frames.CANCEL:
                self._cancel(connection, tag)
            else:
                queue.append((connection, kind, tag, 0, b"", data[at + 13 : stop]))
            at = stop
        if at < end:
            connection.tail = data[at:]

    def _fill(self, connection: Connection) -> None:
        """A large frame is received straight into its place."""
        assert connection.need is not None
        whole, have = connection.need
        with memoryview(whole) as view:
            while have < len(whole):
                try:
                    count = connection.sock.recv_into(view[have:])
                except BlockingIOError:
                    connection.need = (whole, have)
                    return
                if count == 0:
                    self.close(connection)
                    return
                have += count
        connection.need = None
        self._split(connection, bytes(whole))

    def _cancel(self, connection: Connection, tag: int) -> None:
        if self.running == (connection, tag) or any(
            item[0] is connection and item[2] == tag for item in self.queue
        ):
            self.cancelled.append((connection, tag))
        # else: answered already, a legal race

    def take_cancelled(self, connection: Connection, tag: int) -> bool:
        """Whether this request was cancelled; asked once, when it is its turn."""
        try:
            self.cancelled.remove((connection, tag))
        except ValueError:
            return False
        return True

    def answer(self, connection: Connection, data: bytes) -> None:
        """Queues an answer frame; `flush` sends."""
        if not connection.answers:
            self._dirty.append(connection)
        connection.answers.append(data)

    def flush(self) -> None:
        """Sends what was answered, one send per connection."""
        for connection in self._dirty:
            answers = connection.answers
            data = answers[0] if len(answers) == 1 else b"".join(answers)
            answers.clear()
            if not connection.closed:
                if connection.unsent:
                    connection.unsent += data
                    self._watch(connection)
                else:
                    self._send(connection, data)
        self._dirty.clear()

    def _send(self, connection: Connection, data: bytes) -> None:
        waited = bool(connection.unsent)
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close(connection)
            return
        if sent == len(data):
            if waited:
                connection.unsent = b""
                self._watch(connection)
            return
        connection.unsent = data[sent:]
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        events = select.EPOLLIN if len(connection.unsent) < MAX_UNSENT_BYTES else 0
        if connection.unsent:
            events |= select.EPOLLOUT
        self.poller.modify(connection.fd, events)

    def drain(self, seconds: float) -> None:
        """Before the process ends: sends what is still unsent, for a bounded time."""
        for connection in self._all.values():
            if connection.unsent:
                try:
                    connection.sock.settimeout(seconds)
                    connection.sock.sendall(connection.unsent)
                except OSError:
                    pass

    def close(self, connection: Connection) -> None:
        """Forgets a connection; nobody waits for the requests it still had in the queue."""
        if connection.closed:
            return
        connection.closed = True
        self._all.pop(connection.fd, None)
        self.poller.unregister(connection.fd)
        connection.sock.close()

    def detach_after_fork(self) -> None:
        """In a forked child: closes its copies; the parent's registrations stay as they are."""
        self.poller.close()
        self.listener.close()
        for connection in self._all.values():
            connection.sock.close()
        self._all.clear()
