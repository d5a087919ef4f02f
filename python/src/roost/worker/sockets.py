"""Unix sockets of the node's socket folder."""

from __future__ import annotations

import os
import re
import socket

MAX_PATH_BYTES = 107


def listen(folder: str, name: str) -> socket.socket:
    """A listening socket `folder/name`, replacing a stale one. Called by the process that accepts: its pid is what
    SO_PEERCRED shows to clients."""
    path = os.path.join(folder, name)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        sock.bind(path)
    else:
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            sock.bind(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.close(fd)
    sock.listen(128)
    return sock


def is_instance_id(text: object) -> bool:
    """Whether a text can be an instance's id: it becomes a file name."""
    return isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None
