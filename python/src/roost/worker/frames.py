"""Frames of an instance's socket: `u32 length`, `u8 kind`, `u64 tag`, payload; little endian."""

from __future__ import annotations

import json
from struct import Struct
from typing import Any

HEAD = Struct("<IBQ")
EXECUTE_HEAD = Struct("<IB")
OUTPUT_HEAD = Struct("<IBQI")

BEGIN = 1
EXECUTE = 2
CANCEL = 3
PING = 4
EXECUTE_PLAIN = 5
READY = 129
FAILED = 130
OUTPUT = 131
ERROR = 132
PONG = 133

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Larger lengths are taken for a broken peer: the service refuses requests of more than 16 MiB itself."""


def frame(kind: int, tag: int, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return HEAD.pack(9 + len(payload), kind, tag) + payload


def json_frame(kind: int, tag: int, body: Any) -> bytes:
    """A frame with a JSON payload."""
    return frame(kind, tag, json.dumps(body, separators=(",", ":"), default=str).encode())


def execute_frame(tag: int, payload: bytes, request_id: bytes = b"", timeout_ms: int = 0) -> bytes:
    """An `execute` frame; `payload` is the raw JSON object of the inputs."""
    return frame(EXECUTE, tag, EXECUTE_HEAD.pack(timeout_ms, len(request_id)) + request_id + payload)
