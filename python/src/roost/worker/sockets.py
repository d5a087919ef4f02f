"""Unix sockets of the node's socket folder."""

from __future__ import annotations

import contextlib
import os
import re
import socket

MAX_PATH_BYTES = 107


def listen(folder: str, name: str) -> socket.socket:
    """A listening socket `folder/name`, replacing a stale one.

    Called by the process that accepts: its pid is what SO_PEERCRED shows to clients.
    """
    new = os.path.join(folder, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if len(os.fsencode(new)) <= MAX_PATH_BYTES:
        sock.bind(new)
    else:
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            sock.bind(f"/proc/self/fd/{fd}/.{name}.new")
        finally:
            os.close(fd)
    sock.listen(128)
    os.rename(new, os.path.join(folder, name))  # whoever sees the name can connect
    return sock


def send_once(folder: str, name: str, data: bytes) -> None:
    """Tells a listener of this folder something that needs no answer. Never waits: without a listener that
    takes it the words are lost."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        path = os.path.join(folder, name)
        if len(os.fsencode(path)) <= MAX_PATH_BYTES:
            sock.connect(path)
        else:
            fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
            try:
                sock.connect(f"/proc/self/fd/{fd}/{name}")
            finally:
                os.close(fd)
        sock.send(data)


def is_instance_id(text: object) -> bool:
    """Whether a text can be an instance's id: it becomes a file name."""
    return isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None
