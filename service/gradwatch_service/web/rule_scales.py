"""Rules as the settings show them: names people can read, and a scale for each threshold."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from gradwatch_service.api.rule_settings import RULES, shown
from gradwatch_service.store.rules import RuleSettings

LOGARITHMIC_FROM: Final = 100.0  # largest over smallest value
EXPONENTS: Final = frozenset({"bits"})  # of two: such a number is a logarithm already


@dataclass(frozen=True, slots=True)
class ThresholdView:
    """A number that may be set; ``scale``: log where it spans orders of magnitude."""

    name: str
    label: str
    meaning: str
    value: float
    default: float
    low: float
    high: float
    unit: str
    whole: bool
    scale: str


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule as it is set; ``handbook``: how it judges, in paragraphs."""

    id: str
    title: str
    sees: str
    handbook: tuple[str, ...]
    enabled: bool
    notify: bool
    changed: bool
    thresholds: tuple[ThresholdView, ...]


def rules_of(project: str, held: RuleSettings) -> tuple[RuleView, ...]:
    """Every rule of a project."""
    rules: Any = shown(project, held)["rules"]
    return tuple(_rule(one) for one in rules)


def scale_of(low: float, high: float, unit: str) -> str:
    """Whether equal ways on a slider are equal sums or equal factors."""
    is_wide = low > 0 and high / low >= LOGARITHMIC_FROM
    return "log" if is_wide and unit not in EXPONENTS else "linear"


def _rule(rule: dict[str, Any]) -> RuleView:
    return RuleView(
        id=rule["id"],
        title=_words(rule["id"]),
        sees=_sentence(rule["sees"]),
        handbook=_handbook(rule["id"]),
        enabled=rule["enabled"],
        notify=rule["notify"],
        changed=rule["changed"],
        thresholds=tuple(_threshold(one) for one in rule["thresholds"]),
    )


def _threshold(one: dict[str, Any]) -> ThresholdView:
    return ThresholdView(
        label=_words(one["name"].removesuffix("_bits")),
        scale=scale_of(one["low"], one["high"], one["unit"]),
        **{**one, "meaning": _sentence(one["meaning"])},
    )


@cache
def _handbook(rule_id: str) -> tuple[str, ...]:
    """Formula, course and source of a rule, as its class tells them."""
    told = inspect.getdoc(type(RULES[rule_id])) or ""
    return tuple(" ".join(one.split()).replace("``", "") for one in told.split("\n\n"))


def _words(identity: str) -> str:
    return identity.replace("-", " ").replace("_", " ").capitalize()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
