"""What user code prints, and the node's log: JSON lines, appended with one write per batch."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
from json.encoder import encode_basestring_ascii
from time import monotonic, time_ns
from typing import Any

SPILL_PARTS = 512
SPILL_SECONDS = 0.5
REOPEN_SECONDS = 1.0
MAX_PENDING_BYTES = 1024 * 1024
_DIGITS = tuple(f"{value:03d}" for value in range(1000))


class LogWriter:
    """Appends lines to the node's log. If it can't be written, lines are counted and dropped."""

    def __init__(self, path: str, node: str, release: int, instance: str | None, max_line: int) -> None:
        self.path = path
        self.max_line = max_line
        self.dropped = 0
        self.request: bytes | None = None
        self._fd = -1
        self._torn = False
        self._checked = 0.0
        self._lock = threading.RLock()
        self._pending: list[str] = []
        self._pending_bytes = 0
        self._millisecond = -1
        self._time = ""
        self._after: dict[str, tuple[str, str]] = {}
        self.identify(node, release, instance)

    def identify(self, node: str, release: int, instance: str | None) -> None:
        """Sets the part of a line that is the same for all of them."""
        fields = f'"node":{json.dumps(node)},"release":{release}'
        if instance is not None:
            fields += f',"instance":{json.dumps(instance)}'
        self._head = '{"time":"'
        self._fields = 'Z",' + fields + ',"stream":'
        self._after.clear()

    def close(self) -> None:
        """Closes the file; a later flush opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def forget(self) -> None:
        """In a process that user code forked: what is pending is the parent's to write."""
        self._lock = threading.RLock()
        self._pending = []
        self._pending_bytes = 0

    def add(self, stream: str, text: str, request: bytes | None = None) -> None:
        """Queues the lines of `text`; `flush` writes them."""
        prefix = self._prefix(stream, request)
        if text[-1:] == "\n":
            text = text[:-1]
        if "\n" in text:
            for line in text.split("\n"):
                self._line(prefix, line)
        else:
            self._line(prefix, text)

    def _prefix(self, stream: str, request: bytes | None) -> str:
        micro = time_ns() // 1000 - self._millisecond
        if not 0 <= micro < 1000:
            micro = self._renew(micro)
        after = self._after.get(stream)
        if after is None:
            fields = self._fields + json.dumps(stream)
            after = self._after[stream] = (f'{fields},"message":', f'{fields},"requestId":')
        if request:
            name = encode_basestring_ascii(request.partition(b" ")[0].decode("utf-8", "replace"))
            return f'{self._time}{_DIGITS[micro]}{after[1]}{name},"message":'
        return f"{self._time}{_DIGITS[micro]}{after[0]}"

    def _renew(self, micro: int) -> int:
        """The text of another millisecond; returns the microseconds within it."""
        now = micro + self._millisecond
        milli, micro = divmod(now, 1000)
        second, part = divmod(milli, 1000)
        self._millisecond = milli * 1000
        self._time = self._head + time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)) + _DIGITS[part]
        return micro

    def _line(self, prefix: str, line: str) -> None:
        if "\r" in line:
            line = line.rstrip("\r").rpartition("\r")[
                2
            ]  # a progress bar: what a terminal would show at the end
        if len(line) > self.max_line:
            line = line[: self.max_line] + f"… ({len(line) - self.max_line} characters cut)"
        line = f"{prefix}{encode_basestring_ascii(line)}}}\n"
        self._pending_bytes += len(line)
        self._pending.append(line)
        if self._pending_bytes > MAX_PENDING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is pending with one system call."""
        if not self._pending:
            return
        with self._lock:
            lines = len(self._pending)
            data = "".join(self._pending[:lines]).encode()
            del self._pending[:lines]  # a thread of the cell may have added one meanwhile
            self._pending_bytes = 0
            try:
                self._write(data)
            except OSError as error:
                with contextlib.suppress(OSError):
                    self.close()
                self.dropped += lines
                self._reason = error.strerror or type(error).__name__

    def _write(self, data: bytes) -> None:
        now = monotonic()
        if self._fd < 0 or now - self._checked > REOPEN_SECONDS:
            self._checked = now
            self._open()
        if self._torn:
            data = b"\n" + data
        if self.dropped:
            notice = f"{self.dropped} lines were lost because the log could not be written: {self._reason}"
            note = f"{self._prefix('system', None)}{encode_basestring_ascii(notice)}}}\n".encode()
            data = (b"\n" + note + data[1:]) if self._torn else note + data
        written = os.write(self._fd, data)
        while written < len(data):  # a disk that fills up takes a part first
            self._torn = True
            written += os.write(self._fd, data[written:])
        self._torn = False
        self.dropped = 0

    def _open(self) -> None:
        """Opens the log, again if it was renamed meanwhile."""
        if self._fd >= 0:
            try:
                there, ours = os.stat(self.path), os.fstat(self._fd)
                if (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev):
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


class Capture:
    """The prints of one process: `sys.stdout` and `sys.stderr` of user code, in the order of writing."""

    def __init__(self, log: LogWriter) -> None:
        self.log = log
        self.request: bytes | None = None
        self.running = False
        self.parts: list[str] = []
        self.due = 0.0
        self.stream = "stdout"
        self.stdout = Stream(self, "stdout", 1)
        self.stderr = Stream(self, "stderr", 2)

    def switch(self, stream: str) -> None:
        """The other stream is written now: what is there goes first."""
        if stream != self.stream:
            if self.parts:
                self.collect()
            self.stream = stream

    def collect(self) -> None:
        """Turns what was written since the last call into log lines."""
        parts = self.parts
        count = len(parts)
        text = "".join(parts[:count])
        del parts[:count]  # not `clear`: a thread may have written meanwhile
        if text:
            self.log.add(self.stream, text, self.request)

    def _take(self) -> str:
        count = len(self.parts)
        text = "".join(self.parts[:count])
        del self.parts[:count]  # not `clear`: a thread may have written meanwhile
        return text

    def forget(self) -> None:
        """In a process that user code forked: what was written so far is the parent's."""
        self.parts.clear()
        self.log.forget()

    def spill(self) -> None:
        """Writes whole lines while a request still runs, so that a long one can be followed."""
        self.due = monotonic() + SPILL_SECONDS if self.running else 0.0
        text = self._take()
        whole, newline, rest = text.rpartition("\n")
        if len(rest) > MAX_PENDING_BYTES:
            whole, newline, rest = text, "\n", ""
        if rest:
            self.parts.insert(0, rest)
        if newline:
            self.log.add(self.stream, whole, self.request)
            self.log.flush()


class Stream(io.TextIOBase):
    """A text stream that collects into a Capture. `fileno` is a real descriptor: subprocesses may get it."""

    def __init__(self, capture: Capture, name: str, fd: int) -> None:
        self._capture = capture
        self._name = name
        self._fd = fd
        self.mode = "w"
        self.name = f"<{name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Always UTF-8."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What to do with characters that can't be encoded: nothing is lost."""
        return "backslashreplace"

    def write(self, text: str) -> int:
        """Collects text; between requests (a thread of the cell) whole lines go straight to the log."""
        if type(text) is not str and not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        capture = self._capture
        if capture.stream is not self._name:
            capture.switch(self._name)
        parts = capture.parts
        parts.append(text)
        if len(parts) > SPILL_PARTS or monotonic() > capture.due:
            capture.spill()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes each item."""
        for line in lines:
            self.write(line)

    def writable(self) -> bool:
        """Always."""
        return True

    def flush(self) -> None:
        """Makes whole lines visible in the log now."""
        if self._capture.parts:
            self._capture.spill()

    def fileno(self) -> int:
        """Descriptor 1 or 2, whose lines are logged as stream `output`."""
        return self._fd

    def isatty(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """A cell that closes its output must not silence the next request."""

    @property
    def buffer(self) -> BinaryStream:
        """For code that writes bytes to `sys.stdout.buffer`."""
        return BinaryStream(self)


class BinaryStream(io.RawIOBase):
    """The bytes side of a Stream."""

    def __init__(self, stream: Stream) -> None:
        self._text = stream

    def write(self, data: Any) -> int:
        """Decodes and collects."""
        raw = bytes(data)
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)

    def writable(self) -> bool:
        """Always."""
        return True

    def flush(self) -> None:
        """As the text side."""
        self._text.flush()

    def close(self) -> None:
        """Stays open, as the text side."""
