"""The number of a rank, as far as its writer's name tells."""

from __future__ import annotations

import pytest

from gradwatch_service.detect.ranks import number


@pytest.mark.parametrize(
    ("writer", "expected"),
    [
        ("r3-9f12ab", 3),
        ("r3", 3),
        ("rank12", 12),
        ("rank-0", 0),
        ("Rank_7", 7),
        ("w0", None),
        ("trainer-3", None),
        ("r", None),
    ],
)
def test_a_numbered_name_gives_the_number(writer: str, expected: int | None) -> None:
    assert number(writer) == expected
