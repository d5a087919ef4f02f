"""Interrupts running user code: at its time limit (SIGALRM) or when its caller gave up (SIGUSR1).

One timer is kept armed over many requests: a request arms it only if it is not armed for an earlier time, and
the signal handler compares with the deadline of the request that runs now. In steady state a request costs no
system call, and an idle worker gets at most one stray signal per time limit.
"""

from __future__ import annotations

import signal
from math import inf
from time import monotonic
from types import FrameType
from typing import Callable

from roost.worker.errors import RequestCancelled, RequestTimeout

REPEAT_SECONDS = 0.1
"""A cell may swallow the exception (a bare `except:`, a callback): it is raised again until the cell ends."""


class Interrupter:
    """Raises RequestTimeout and RequestCancelled in the main thread, only while `active`."""

    __slots__ = ("active", "armed", "cancelled", "deadline", "poked", "read_cancels")

    def __init__(self) -> None:
        self.active = False
        self.armed = inf
        self.deadline = inf
        self.cancelled = False
        self.poked = False
        self.read_cancels: Callable[[], bool] = lambda: False

    def install(self) -> None:
        """Takes over SIGALRM and SIGUSR1."""
        self.active = False
        self.armed = inf
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGUSR1, self._on_cancel)

    def start(self, deadline: float) -> None:
        """User code begins and must end by `deadline` (monotonic); the caller clears `active` at its end."""
        self.deadline = deadline
        self.active = True
        if self.armed > deadline:
            self.arm_until(deadline)

    def arm_until(self, deadline: float) -> None:
        """Sets the timer for `deadline`, where it is not armed or for later."""
        self.armed = deadline
        signal.setitimer(signal.ITIMER_REAL, max(deadline - monotonic(), 1e-6))

    def take_poke(self) -> bool:
        """Whether SIGUSR1 came while no user code ran; asked once."""
        poked, self.poked = self.poked, False
        return poked

    def disarm(self) -> None:
        """No signal comes any more."""
        self.active = False
        self.armed = inf
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        self.armed = inf
        if not self.active:
            return
        now = monotonic()
        if now < self.deadline:
            self._arm(self.deadline - now)
            return
        self._arm(REPEAT_SECONDS)
        raise RequestCancelled if self.cancelled else RequestTimeout

    def _on_cancel(self, signum: int, frame: FrameType | None) -> None:
        if not self.active:
            self.poked = (
                True  # the request that ran has just ended; the loop reads the frame before the next one
            )
            return
        self.active = False  # an alarm while frames are read would leave a half-read frame behind
        try:
            hit = self.read_cancels()
        finally:
            self.active = True
        if hit:
            self.cancelled = True
            self.deadline = 0.0
            self._arm(REPEAT_SECONDS)
            raise RequestCancelled
        if self.armed == inf:
            self._arm(max(self.deadline - monotonic(), 1e-6))

    def _arm(self, seconds: float) -> None:
        self.armed = monotonic() + seconds
        signal.setitimer(signal.ITIMER_REAL, seconds)
