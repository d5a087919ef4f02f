"""The distributed trace that the request in hand belongs to (W3C Trace Context), for the calls that a cell makes."""

from __future__ import annotations

from typing import Callable


def _none() -> bytes | None:
    return None


current: Callable[[], bytes | None] = _none
"""Request id of the request in hand, and behind a space its trace. Set by the worker."""


def traceparent() -> str | None:
    """The value of the header `traceparent` to send along; None where the request in hand is not traced."""
    _, _, trace = (current() or b"").partition(b" ")
    return trace.decode("ascii") if trace else None
