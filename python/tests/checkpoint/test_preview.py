"""Previews are short, quick and never raise."""

from __future__ import annotations

from typing import Any

import pytest

from roost.checkpoint.capture import preview


class Unprintable:
    """A value whose `repr` raises."""

    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    "value, text",
    [
        ({"left_bound": 1, "right_bound": 10}, "{'left_bound': 1, 'right_bound': 10}"),
        ([1, 2.5, None], "[1, 2.5, None]"),
        (list(range(5000)), "list of 5000"),
        (Unprintable(), "<Unprintable: repr failed: ValueError>"),
    ],
)
def test_a_preview_says_what_the_value_is(value: Any, text: str) -> None:
    assert preview(value) == text


def test_a_preview_has_at_most_200_characters() -> None:
    nested = {f"key {number}": {"deep": ["x" * 50] * 20} for number in range(30)}
    for value in ("x" * 900, [["y" * 90] * 9] * 9, nested, {"a": Unprintable()}):
        assert len(preview(value)) <= 200


def test_a_long_list_is_not_written_out_to_show_its_beginning() -> None:
    written: list[int] = []

    class Costly:
        def __repr__(self) -> str:
            written.append(1)
            return "costly"

    preview([Costly() for _ in range(300)])
    assert len(written) < 50
