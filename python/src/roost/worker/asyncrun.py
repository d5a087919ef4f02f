"""Top-level await: one event loop that is kept over requests, so that tasks and connections live on."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import CodeType
from typing import Any

from roost.worker.errors import RequestCancelled, RequestTimeout
from roost.worker.timeouts import Interrupter

UNWIND_SECONDS = 0.5


class AsyncRunner:
    """Runs a coroutine cell to its end."""

    def __init__(self, interrupter: Interrupter) -> None:
        self._interrupter = interrupter
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, code: CodeType, namespace: dict[str, Any]) -> None:
        """One request. The loop is made at the first one: it must not be shared over a fork."""
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        task = loop.create_task(eval(code, namespace))
        try:
            loop.run_until_complete(task)
        except (RequestTimeout, RequestCancelled):
            self._unwind(loop, task)
            raise

    def _unwind(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Lets the interrupted cell run its `finally` blocks, for a short time; tasks it started live on."""
        if task.done():
            return
        task.cancel()
        self._interrupter.start(monotonic() + UNWIND_SECONDS)
        try:
            loop.run_until_complete(asyncio.wait([task], timeout=UNWIND_SECONDS / 2))
        except (RequestTimeout, RequestCancelled):
            pass
        finally:
            self._interrupter.active = False
