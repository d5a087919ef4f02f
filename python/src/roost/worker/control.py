"""Connections to the zygote's control socket: one JSON object per line, answers in order."""

from __future__ import annotations

import json
import select
import socket
from typing import Any


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


def refusal(phase: str, message: str, name: str = "ControlError") -> dict[str, Any]:
    """The answer to a request that failed."""
    return {
        "ok": False,
        "error": {"phase": phase, "errorName": name, "errorMessage": message, "traceback": []},
    }
