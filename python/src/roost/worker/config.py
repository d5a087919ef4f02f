"""Launch configuration of a zygote and its instances."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

ISOLATIONS = ("instance", "request")
START_MODES = ("auto", "fork", "spawn")
RESTORES = ("reachable", "full")
NETWORKS = ("none", "host")
WARM_UPS = ("off", "fork", "instance")


class ConfigError(ValueError):
    """The launch configuration can't be used; the message names the field."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    dtype: str
    integer: bool = False
    """The name is a whole number in Python."""


class Variable(NamedTuple):
    """A declared input or output of the cell."""

    name: str
    type: str
    dtype: str | None = None
    """Of an array: the one of the checkpoint."""
    columns: tuple[Column, ...] = ()
    """Of a table: those of the checkpoint."""
    scalar: bool = False
    """Of an array: that of the checkpoint has no dimensions."""


class Config(NamedTuple):
    """What the service tells a zygote. Paths are as the sandbox sees them."""

    node: str
    release: int
    manifest: str
    blobs: str
    sockets: str
    log: str
    inputs: tuple[Variable, ...] = ()
    outputs: tuple[Variable, ...] = ()
    isolation: str = "instance"
    timeout_seconds: float = 15.0
    start_mode: str = "auto"
    restore: str = "reachable"
    keep_random_state: bool = False
    cpus: float = 1.0
    network: str = "none"
    max_answer_bytes: int = 16 * 1024 * 1024
    max_log_line_bytes: int = 16 * 1024
    warm_up: str = "off"
    example: bytes = b""
    path: str = ""


def load(path: str) -> Config:
    """Reads and checks the configuration file; unknown keys are ignored, as newer services may send them."""
    with open(path, "rb") as file:
        raw = json.loads(file.read())
    if not isinstance(raw, dict):
        raise ConfigError("the launch configuration must be a JSON object")
    return parse(raw, path)


def parse(raw: dict[str, Any], path: str = "") -> Config:
    """A configuration from parsed JSON."""
    return Config(
        node=_text(raw, "node"),
        release=int(raw.get("release", 1)),
        manifest=_text(raw, "manifest"),
        blobs=_text(raw, "blobs"),
        sockets=_text(raw, "sockets"),
        log=_text(raw, "log"),
        inputs=_variables(raw, "inputs"),
        outputs=_variables(raw, "outputs"),
        isolation=_choice(raw, "isolation", ISOLATIONS),
        timeout_seconds=_positive(raw, "timeoutSeconds", 15.0),
        start_mode=_choice(raw, "startMode", START_MODES),
        restore=_choice(raw, "restore", RESTORES),
        keep_random_state=bool(raw.get("keepRandomState", False)),
        cpus=_positive(raw, "cpus", 1.0),
        network=_choice(raw, "network", NETWORKS),
        max_answer_bytes=int(_positive(raw, "maxAnswerBytes", 16 * 1024 * 1024)),
        max_log_line_bytes=int(_positive(raw, "maxLogLineBytes", 16 * 1024)),
        warm_up=_choice(raw, "warmUp", WARM_UPS),
        example=str(raw.get("example") or "").encode(),
        path=path,
    )


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key}: a non-empty string is needed, got {value!r}")
    return value


def _choice(raw: dict[str, Any], key: str, allowed: tuple[str, ...]) -> str:
    value = raw.get(key, allowed[0])
    if value not in allowed:
        raise ConfigError(f"{key}: one of {', '.join(allowed)} is needed, got {value!r}")
    return str(value)


def _positive(raw: dict[str, Any], key: str, default: float) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ConfigError(f"{key}: a number greater than 0 is needed, got {value!r}")
    return float(value)


def _variables(raw: dict[str, Any], key: str) -> tuple[Variable, ...]:
    found = []
    for index, item in enumerate(raw.get(key) or ()):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise ConfigError(f"{key}[{index}]: an object with a name is needed, got {item!r}")
        columns = tuple(
            Column(str(column["name"]), str(column["dtype"]), bool(column.get("integer")))
            for column in item.get("columns") or ()
        )
        dtype = item.get("dtype")
        found.append(
            Variable(
                item["name"],
                str(item.get("type", "any")),
                dtype and str(dtype),
                columns,
                item.get("shape") == [],
            )
        )
    return tuple(found)
