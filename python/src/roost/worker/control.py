"""Connections to the zygote's control socket: one JSON object per line, answers in order."""

from __future__ import annotations

import json
import os
import select
import socket
from array import array
from typing import Any

from roost.worker.groups import MAX_GROUPS


class Control:
    """One connection and what is half-way in or out."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.data = b""
        self.unsent = b""
        self.waiting: str | None = None
        """The instance whose start must be answered before the next request is read."""
        self.events = False
        self.files: list[int] = []
        """Descriptors that came with requests not yet served."""
        self.asked: dict[str, Any] = {}
        """The request at hand."""

    @property
    def announced(self) -> Any:
        """How many descriptors the request at hand says are its own."""
        return self.asked.get("groups", 0)

    def receive(self) -> bool:
        """Reads what is there, descriptors too. False when the peer is gone."""
        try:
            # Not `recv_fds`: it drops the flags, and spawned processes would inherit the descriptors.
            data, rights, _, _ = self.sock.recvmsg(
                65536, socket.CMSG_SPACE(MAX_GROUPS * 4), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return True
        except OSError:
            return False
        for level, kind, content in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.files += array("i", content[: len(content) // 4 * 4])
        self.data += data
        return bool(data)

    def take_files(self) -> list[int]:
        """The descriptors of the request at hand; fewer when fewer came."""
        count = self.announced if isinstance(self.announced, int) else 0
        taken, self.files = self.files[:count], self.files[count:]
        return taken

    def set_environment(self) -> None:
        """Sets the variables of the request at hand here, for all processes that are made from now on."""
        given = self.asked.get("environment")
        if isinstance(given, dict):
            os.environ.update({str(name): str(value) for name, value in given.items()})

    def close(self) -> None:
        """Closes the connection with all that came over it."""
        self.sock.close()
        close_all(self.files)

    def send(self, body: dict[str, Any] | None) -> bool:
        """Sends a line, or what is left of earlier ones. False when the peer is gone."""
        if body is not None:
            self.unsent += json.dumps(body, separators=(",", ":"), default=str).encode() + b"\n"
        try:
            sent = self.sock.send(self.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        self.unsent = self.unsent[sent:]
        return True

    def interest(self) -> int:
        """What to poll for."""
        return select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0)


def close_all(files: list[int]) -> None:
    """Closes descriptors that no one else owns."""
    for file in files:
        os.close(file)


def refusal(phase: str, message: str, name: str = "ControlError") -> dict[str, Any]:
    """The answer to a request that failed."""
    return {
        "ok": False,
        "error": {"phase": phase, "errorName": name, "errorMessage": message, "traceback": []},
    }
