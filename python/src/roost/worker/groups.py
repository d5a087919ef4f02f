"""An instance enters its cgroups by itself, right after it was made.

The service opens the groups' member files and sends the descriptors with `start`. Writing `0` moves the writer; moving
another process would wait for the kernel to stop all forks of the machine (5 to 35 ms).
"""

from __future__ import annotations

import os
from typing import Iterable

MAX_GROUPS = 8

_pending: tuple[int, ...] = ()
_trouble: str | None = None


def install() -> None:
    """Before any library is loaded: hooks run in the order of their registration, so this one is the first."""
    os.register_at_fork(after_in_child=_after_fork)


def for_next_fork(files: Iterable[int]) -> None:
    """Which groups the next forked process enters; none turns it off again."""
    global _pending
    _pending = tuple(files)


def trouble() -> str | None:
    """In a forked process: why it isn't in its groups, or None."""
    return _trouble


def _after_fork() -> None:
    global _pending, _trouble
    if _pending:
        files, _pending = _pending, ()
        _trouble = enter(files)


def enter(files: Iterable[int]) -> str | None:
    """Moves this process into the groups and closes their files. Returns what went wrong.

    Only while the process has a single thread: in version 1 of cgroups the file moves one thread.
    """
    wrong = None
    for file in files:
        try:
            os.write(file, b"0")
        except OSError as error:
            wrong = wrong or f"the instance can't enter its cgroup: {error.strerror}"
        finally:
            os.close(file)
    return wrong
