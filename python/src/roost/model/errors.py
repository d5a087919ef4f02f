"""What goes wrong with a model, in the words of its user."""

from __future__ import annotations

from typing import Optional


class ModelError(Exception):
    """A model that can't be used as it is. `field` is what to change."""

    def __init__(self, message: str, field: Optional[str] = None) -> None:
        super().__init__(message)
        self.field = field


def brief(error: BaseException) -> str:
    """An error in one line; of a missing package with what to do."""
    if isinstance(error, ModelError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.split(".")[0]
        return (
            f"{type(error).__name__}: {error}; the environment of the node lacks the package that has module "
            f"'{package}': add it to the environment"
        )
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
