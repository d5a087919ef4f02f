"""Failures that the worker tells apart, and their JSON form."""

from __future__ import annotations

from typing import Any


class Unfit(Exception):
    """A value is not of the declared type; the text says what it is instead."""


class CellFailure(Exception):
    """A request can't be answered; `kind` is one of the kinds of the worker protocol."""

    def __init__(
        self,
        kind: str,
        name: str,
        message: str,
        traceback: list[str] | None = None,
        variable: str | None = None,
        state_kept: bool = True,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.message = message
        self.traceback = traceback or []
        self.variable = variable
        self.state_kept = state_kept

    def to_json(self) -> dict[str, Any]:
        """The payload of an `error` frame."""
        body: dict[str, Any] = {
            "kind": self.kind,
            "errorName": self.name,
            "errorMessage": self.message,
            "traceback": self.traceback,
            "stateKept": self.state_kept,
        }
        if self.variable is not None:
            body["variable"] = self.variable
        return body


class InputError(CellFailure):
    """The caller's fault: a missing, unknown or mistyped variable, or bad JSON."""

    def __init__(self, message: str, variable: str | None = None) -> None:
        super().__init__("input", "InputError", message, variable=variable)


class OutputError(CellFailure):
    """A value that the cell left has no JSON form, is missing, mistyped or too large."""

    def __init__(self, message: str, variable: str | None = None) -> None:
        super().__init__("output", "OutputError", message, variable=variable)


class RestoreError(Exception):
    """The checkpoint can't be restored; `cause` is what user code or a library raised, if anything did."""

    def __init__(self, message: str, phase: str = "restore", cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.phase = phase
        self.cause = cause


class RequestTimeout(BaseException):
    """Raised in the cell at its time limit; a BaseException, so that `except Exception` lets it through."""


class RequestCancelled(BaseException):
    """Raised in the cell when the caller gave up."""
