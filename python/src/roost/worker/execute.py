"""Runs the cell for one request and makes the answer frame."""

from __future__ import annotations

import ast
import builtins
import contextlib
import errno
import json
import linecache
import os
import sys
import traceback
from functools import partial
from time import monotonic
from types import CodeType, FunctionType
from typing import Any, Callable, Iterator

from roost import tracing
from roost.worker import codec as codecs
from roost.worker import frames, magics
from roost.worker.config import Config
from roost.worker.errors import CellFailure, InputError, RequestCancelled, RequestTimeout, RestoreError
from roost.worker.output import SPILL_SECONDS, Capture
from roost.worker.timeouts import Interrupter
from roost.worker.types import Inputs, Outputs

CO_COROUTINE = 0x80  # of `inspect`, whose import costs more than the rest of this file
MAX_TRACEBACK_LINES = 200
MAX_MESSAGE_CHARACTERS = 8192


class Cell:
    """The compiled cell."""

    def __init__(self, cell: dict[str, Any]) -> None:
        count = cell.get("executionCount")
        self.label = f"Cell In[{count}]" if count else "Cell"
        self.filename = f"<{self.label.lower()}>"
        self.source = str(cell.get("code") or cell.get("source") or "")
        try:
            tree = ast.parse(self.source, self.filename)
            self.code: CodeType = compile(
                tree, self.filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
        except (SyntaxError, ValueError) as error:
            raise RestoreError(f"the cell can't be compiled: {error}", "compile", error) from error
        self._imports = list(_imports(tree))
        self.is_async = bool(self.code.co_flags & CO_COROUTINE)
        self.register()

    def load_imports(self) -> None:
        """Imports what the cell imports, as far as that is possible: otherwise each instance pays for it anew."""
        if self.is_async:
            self._imports.append(("asyncio", ()))
        for module, names in self._imports:
            with contextlib.suppress(Exception, SystemExit):  # the request will say what is wrong with it
                __import__(module, fromlist=names)

    def register(self) -> None:
        """Makes the source known to tracebacks and `inspect`."""
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self.filename] = (len(self.source), None, lines, self.filename)


class Executor:
    """Executes requests in this process, one after the other, in the restored namespace."""

    def __init__(
        self,
        config: Config,
        cell: Cell,
        namespace: dict[str, Any],
        capture: Capture,
        interrupter: Interrupter,
        codec: codecs.Codec,
    ) -> None:
        self.config = config
        self.cell = cell
        self.namespace = namespace
        self.capture = capture
        self.interrupter = interrupter
        self._loads = codec.loads
        self._parse = codec.parse
        self._bind = Inputs(config.inputs).bind
        self._render = Outputs(config.outputs, codec, int(config.max_answer_bytes)).render
        self._timeout = config.timeout_seconds
        # The same as `exec(code, namespace)`, which makes such a function each time.
        namespace.setdefault("__builtins__", builtins)
        self._enter: Callable[[], Any] = FunctionType(cell.code, namespace)
        if cell.is_async:
            from roost.worker.asyncrun import AsyncRunner

            self._enter = partial(AsyncRunner(interrupter).run, cell.code, namespace)
        magics.install(namespace, cell.filename)
        tracing.current = lambda: capture.request

    def run(self, tag: int, timeout_ms: int, request: bytes, raw: bytes, plain: bool = False) -> bytes:
        """Answers one request with a whole `output` or `error` frame. Raises nothing."""
        capture = self.capture
        interrupter = self.interrupter
        namespace = self.namespace
        limit = timeout_ms / 1000 if timeout_ms else self._timeout
        try:
            self._bind(self._parse(raw) if plain else self._loads(raw), namespace)
            if capture.parts:
                capture.collect()  # a thread of the cell printed between requests
            capture.request = request
            capture.running = True
            started = monotonic()
            capture.due = started + SPILL_SECONDS
            interrupter.deadline = deadline = started + limit
            interrupter.active = True  # first: an alarm that comes to an idle worker arms no other one
            if interrupter.armed > deadline:
                interrupter.arm_until(deadline)
            self._enter()
            interrupter.active = False
            ended = monotonic()
            if capture.parts:
                capture.collect()
            body = self._render(namespace)
            return frames.OUTPUT_HEAD.pack(13 + len(body), 131, tag, int((ended - started) * 1e6)) + body
        except BaseException as error:
            interrupter.active = False
            if capture.parts:
                capture.collect()
            return self._failed(tag, error, limit)

    def _failed(self, tag: int, error: BaseException, limit: float) -> bytes:
        self.interrupter.cancelled = False
        try:
            failure = error if isinstance(error, CellFailure) else self._describe(error, limit)
            return frames.json_frame(frames.ERROR, tag, failure.to_json())
        except Exception as broken:  # an exception whose own __str__ raises
            failure = CellFailure(
                "cell", type(error).__name__, f"(its message can't be shown: {type(broken).__name__})"
            )
            return frames.json_frame(frames.ERROR, tag, failure.to_json())

    def _describe(self, error: BaseException, limit: float) -> CellFailure:
        lines = self.traceback_lines(error)
        if isinstance(error, RequestTimeout):
            where = self._line_of(error)
            return CellFailure(
                "timeout", "RequestTimeout", f"the cell did not end within {limit:.2g} s{where}", lines
            )
        if isinstance(error, RequestCancelled):
            return CellFailure(
                "cancelled", "RequestCancelled", "the caller gave up before the cell ended", lines
            )
        name, message = type(error).__name__, _message(error)
        if isinstance(error, MemoryError):
            return CellFailure("memory", name, message or "the cell ran out of memory", lines)
        if isinstance(error, SystemExit):
            message = f"the cell called exit({error.code!r}); a node's cell must end by itself"
        if self.config.network == "none" and (what := _network_failure(error)):
            message = (
                f"{message}: the cell needed the network ({what}), but the node's subnet is `none`; "
                "create the node with --subnet host to let it out"
            )
            return CellFailure("network", name, message, lines)
        return CellFailure("cell", name, message, lines)

    def _line_of(self, error: BaseException) -> str:
        line = None
        at = error.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_filename == self.cell.filename:
                line = at.tb_lineno
            at = at.tb_next
        return "" if line is None else f"; it was interrupted at line {line}"

    def traceback_lines(self, error: BaseException) -> list[str]:
        """The traceback from the cell's first frame on, the cell named as in the notebook."""
        self.cell.register()
        chain = traceback.TracebackException(type(error), error, error.__traceback__)
        seen = set()
        stack: list[traceback.TracebackException | None] = [chain]
        while stack:
            part = stack.pop()
            if part is None or id(part) in seen:
                continue
            seen.add(id(part))
            self._cut(part)
            stack += [part.__cause__, part.__context__]
        lines: list[str] = []
        for text in chain.format():
            lines.extend(text.rstrip("\n").split("\n"))
        quoted = f'File "{self.cell.filename}", '
        lines = [line.replace(quoted, f"{self.cell.label}, ").replace(", in <module>", "") for line in lines]
        if len(lines) > MAX_TRACEBACK_LINES:
            half = MAX_TRACEBACK_LINES // 2
            lines[half:-half] = [f"  … {len(lines) - 2 * half} lines left out …"]
        return lines

    def _cut(self, part: traceback.TracebackException) -> None:
        stack = part.stack
        own = os.path.dirname(__file__) + os.sep
        first = 0
        while first < len(stack) and stack[first].filename.startswith(own):
            first += 1
        if (
            first < len(stack) and stack[first].filename != self.cell.filename
        ):  # asyncio's frames above a coroutine
            at = next((i for i, f in enumerate(stack) if f.filename == self.cell.filename), first)
            first = at
        last = len(stack)
        while last > first and stack[last - 1].filename.startswith(own):
            last -= 1  # the signal handler that raised
        part.stack[:] = stack[first:last]


def _imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, tuple(alias.name for alias in node.names if alias.name != "*")


def _message(error: BaseException) -> str:
    message = str(error)
    if isinstance(error, KeyError) and len(error.args) == 1:
        message = repr(error.args[0])
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = message[:MAX_MESSAGE_CHARACTERS] + "…"
    return message


_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


def _network_failure(error: BaseException) -> str:
    """What failed, if somewhere in the chain of causes the network was missing."""
    socket = sys.modules.get("socket")
    seen = set()
    stack: list[Any] = [error]
    while stack:
        item = stack.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        if socket is not None and isinstance(item, socket.gaierror):
            if item.errno in (socket.EAI_AGAIN, socket.EAI_NONAME):
                return "a host name could not be resolved"
        elif isinstance(item, OSError) and item.errno in _UNREACHABLE:
            return os.strerror(item.errno)
        stack += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return ""


def input_error_frame(tag: int, message: str) -> bytes:
    """An `error` frame for a request that never ran."""
    return frames.frame(frames.ERROR, tag, json.dumps(InputError(message).to_json()).encode())
