"""What a project may set of the rules, and the rules as set: a value that is judged by."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Final, TypeVar

from gradwatch_service.domain import RuleChanges

R = TypeVar("R", bound=Any)
N = TypeVar("N", int, float)

# Beside its thresholds, of every rule: whether it judges at all, whether it may page a person.
SWITCHES: Final = ("enabled", "notify")
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Threshold:
    """A field of a rule that is meant to be set: what it says, within which limits, its unit."""

    name: str
    default: float
    meaning: str
    low: float
    high: float
    unit: str

    @property
    def is_whole(self) -> bool:
        """Whether it counts something."""
        return isinstance(self.default, int)


def sees(rule: Any) -> str:
    """What a rule sees, in a sentence: that of its module."""
    words = (sys.modules[type(rule).__module__].__doc__ or "").split("\n\n")[0]
    return " ".join(words.partition(": ")[2].split())


def settable(default: N, meaning: str, low: N, high: N, unit: str = "") -> N:
    """A field of a rule that projects may set; ``meaning`` in one plain sentence."""
    words = {"meaning": meaning, "low": low, "high": high, "unit": unit}
    made: N = field(default=default, metadata=words)
    return made


def thresholds(rule: Any) -> tuple[Threshold, ...]:
    """What may be set of a rule, in its order; ``rule``: with its defaults."""
    return tuple(
        Threshold(one.name, getattr(rule, one.name), **one.metadata)
        for one in fields(rule)
        if one.metadata
    )


@lru_cache(_REMEMBERED)
def muted(changes: RuleChanges) -> frozenset[str]:
    """The rules that may not page a person."""
    return frozenset(rule for rule, name, value in changes if name == "notify" and not value)


def changed(rule: R, changes: RuleChanges) -> R | None:
    """The rule with what is set of it; None where it is switched off.

    What no such rule has, as after an upgrade, counts for nothing.
    """
    own = {name: value for id_, name, value in changes if id_ == rule.id}
    if not own.get("enabled", True):
        return None
    known = {one.name for one in thresholds(rule)}
    return replace(rule, **{name: value for name, value in own.items() if name in known})


def as_changes(body: Mapping[str, Mapping[str, float]]) -> RuleChanges:
    """Rule -> field -> value as a value of the one form."""
    return tuple(
        (rule, name, value)
        for rule, own in sorted(body.items())
        for name, value in sorted(own.items())
    )
