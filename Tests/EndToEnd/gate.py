"""Things between roost, its engine and a registry that a test can close, hold and open."""

from __future__ import annotations

import os
import pathlib
import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class EngineGate:
    """A unix socket before the engine's. Calls that match are held: before the engine gets them, or when it has answered.

    A caller that goes away while its call is held has asked for nothing (before) or never hears the answer (after).
    """

    def __init__(self, path: pathlib.Path, engine: str) -> None:
        self.path = path
        self.engine = engine
        self.held: list[str] = []
        self._rule: tuple[re.Pattern[str], bool] | None = None
        self._opened = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, call: str, *, answered: bool) -> None:
        """Holds calls like `POST /containers/create` (an expression of METHOD and path)."""
        self.held.clear()
        self._opened.clear()
        self._rule = (re.compile(call), answered)

    def open(self) -> None:
        self._rule = None
        self._opened.set()

    def close(self) -> None:
        self.open()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError), caller, socket.socket(socket.AF_UNIX) as engine:
            head = b""
            while b"\r\n\r\n" not in head:
                part = caller.recv(65536)
                if not part:
                    return
                head += part
            line, _, rest = head.partition(b"\r\n")
            method, target = line.decode().split()[:2]
            call = f"{method} {re.sub(r'^/v[0-9.]+', '', target.partition('?')[0])}"
            rule = self._rule
            is_held = bool(rule and rule[0].fullmatch(call))
            if is_held and rule and not rule[1] and not self._wait(call, caller):
                return
            engine.connect(self.engine)
            # One call a connection: the end of the answer is the end of the connection.
            engine.sendall(line + b"\r\nConnection: close\r\n" + rest)
            early: list[bytes] | None = [] if is_held and rule and rule[1] else None
            while True:
                readable, _, _ = select.select([caller, engine], [], [])
                for ready in readable:
                    part = ready.recv(65536)
                    if ready is caller:
                        if not part:
                            return
                        engine.sendall(part)
                    elif part and early is not None:
                        early.append(part)
                    elif part:
                        caller.sendall(part)
                    else:
                        if early is not None and self._wait(call, caller):
                            caller.sendall(b"".join(early))
                        return

    def _wait(self, call: str, caller: socket.socket) -> bool:
        """Until the gate is opened; false when the caller has gone before."""
        self.held.append(call)
        while not self._opened.wait(0.01):
            readable, _, _ = select.select([caller], [], [], 0)
            if readable and not caller.recv(1, socket.MSG_PEEK):
                return False
        return True


class Forwarder:
    """A port of its own that leads to another: a server that can go away and come back."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self.target = (host, int(port))
        self.silent = False
        self._open: list[socket.socket] = []
        self.port = 0
        self.up()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def up(self) -> None:
        self.silent = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Connections are refused, those that are there end."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                self._open.append(caller)
                if not self.silent:
                    threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError), caller, socket.create_connection(self.target) as server:
            self._open.append(server)
            ways = {caller: server, server: caller}
            while True:
                readable, _, _ = select.select(list(ways), [], [])
                for ready in readable:
                    part = ready.recv(65536)
                    if not part:
                        return
                    ways[ready].sendall(part)


@contextmanager
def gate_before(engine: str, folder: pathlib.Path) -> Iterator[EngineGate]:
    gate = EngineGate(folder / "engine.sock", engine)
    try:
        yield gate
    finally:
        gate.close()
        os.unlink(gate.path)
