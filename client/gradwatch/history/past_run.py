"""A run as another tool has logged it: its series under the names they had there."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gradwatch.values import MAX_STEP, JsonValue

# Endings of the series that a histogram leaves: the norm of what it counts, and the largest.
NORM, MAX = "#norm", "#max"

_NAMESPACE = uuid.UUID("0b9a3f0e-6a57-5d57-8a2c-677261647761")


class Value(NamedTuple):
    """One value, and when it was logged (Unix seconds; 0: unknown)."""

    time: float
    value: float


@dataclass
class PastRun:
    """``key`` is what makes it the same run the next time; ``left_out``: what was no number.

    ``series``: name -> step -> value, the newest if there were several.
    """

    source: str
    key: str
    name: str
    project: str | None = None
    state: str = "finished"
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    series: dict[str, dict[int, Value]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, step: int, value: Value) -> None:
        """Take in one value."""
        if 0 <= step <= MAX_STEP:
            self.series.setdefault(name, {})[step] = value
        else:
            self.left_out["values without a step from 0 on"] += 1

    def id_in(self, project: str) -> uuid.UUID:
        """The id under which it is imported into a project: the same each time."""
        return uuid.uuid5(_NAMESPACE, "\n".join((project, self.source, self.key)))
