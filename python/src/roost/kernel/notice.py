"""How a notebook shows the variables that can't be saved: a table in a browser, lines in a terminal."""

from __future__ import annotations

from html import escape
from typing import List

from roost.checkpoint.failures import Failure

_CELL = "text-align: left; vertical-align: top; white-space: normal; overflow-wrap: break-word"
_MAX_NAMED = 3


def one_line(failure: Failure) -> str:
    """Path, type, reason and hint."""
    return f"{failure.where}: {failure.culprit}: {failure.reason}; {failure.hint}"


def heading(failures: List[Failure]) -> str:
    """The sentence above the list."""
    names = list(dict.fromkeys(failure.name for failure in failures))
    named = ", ".join(names) if len(names) <= _MAX_NAMED else f"{len(names)} variables"
    return f"The checkpoint of this cell leaves out {named}; everything else is in it."


def as_text(failures: List[Failure]) -> str:
    """For terminals: three short lines for each variable instead of a long one."""
    lines = [heading(failures)]
    for failure in failures:
        lines.append(f"  {failure.where}  ({failure.culprit})")
        lines.append(f"    reason: {failure.reason}")
        lines.append(f"    hint:   {failure.hint}")
    return "\n".join(lines)


def as_html(failures: List[Failure]) -> str:
    """For browsers. Names and reasons are the user's data: all of it is escaped."""
    titles = "".join(
        f'<th style="{_CELL}">{title}</th>' for title in ("Variable", "Type", "Reason", "What to do")
    )
    rows = "".join(_row(failure) for failure in failures)
    return (
        '<div style="border-left: 3px solid var(--jp-warn-color1, #f57c00); padding-left: 8px">'
        f"<div>{escape(heading(failures))}</div>"
        f'<table style="margin: 4px 0 0 0"><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _row(failure: Failure) -> str:
    # Long paths may break between their steps, types may not.
    path = "<wbr>[".join(escape(part) for part in failure.where.split("["))
    texts = (
        f"<code>{path}</code>",
        f"<code>{escape(failure.culprit)}</code>",
        escape(failure.reason),
        escape(failure.hint),
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{text}</td>' for text in texts) + "</tr>"
