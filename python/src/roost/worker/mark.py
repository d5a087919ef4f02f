"""Which request an instance is running, where it can be read when the process was killed."""

from __future__ import annotations

import functools
import mmap
import os
import struct
from typing import Callable

MARK_BYTES = 128
"""One for the length, the rest for what the service sent as the request's name: cut, not refused."""


def open_mark(folder: str, instance: str) -> Callable[[bytes], None]:
    """A function that notes the name of the request that begins, and none with empty bytes.

    The note is a page shared with the file `<instance id>.run`: it stays when the kernel ends the process
    without a word, and costs no system call. Without room for the file the notes are lost, not the requests.
    """
    pack = struct.Struct(f"{MARK_BYTES}p").pack_into
    return functools.partial(pack, _page(os.path.join(folder, f"{instance}.run")), 0)


def read_mark(folder: str, instance: str) -> bytes:
    """What an instance that has ended was running; the cell's to forge."""
    try:
        with open(os.path.join(folder, f"{instance}.run"), "rb") as file:
            data = file.read(MARK_BYTES)
    except OSError:
        return b""
    return data[1 : 1 + data[0]] if data else b""


def _page(path: str) -> mmap.mmap:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # A hole that finds no room when it is written to would end the process (SIGBUS).
            os.posix_fallocate(fd, 0, MARK_BYTES)
            return mmap.mmap(fd, MARK_BYTES)
        finally:
            os.close(fd)
    except OSError:
        return mmap.mmap(-1, MARK_BYTES)
