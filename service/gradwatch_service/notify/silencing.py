"""Which alerts a silence covers: a pure comparison of its matchers with the labels of an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol, TypeAlias, TypeVar, cast

from gradwatch_service.domain import JsonValue
from gradwatch_service.notify.pattern import compiled

Operator: TypeAlias = Literal["=", "!=", "=~", "!~"]
# Several values where an alert has several layers, and a run several tags.
Labels: TypeAlias = Mapping[str, Sequence[str]]

NAMES: Final = (
    "project", "run", "run_name", "cause", "rule", "severity", "layer", "tag",
)  # fmt: skip


class Matcher(Protocol):
    """A label and what it shall be, or not be."""

    @property
    def name(self) -> str:
        """One of ``NAMES``."""

    @property
    def op(self) -> Operator:
        """How to compare; with ``~`` the value is an expression for the whole label."""

    @property
    def value(self) -> str:
        """What with."""


class Silence(Protocol):
    """What a silence says of the alerts it covers."""

    @property
    def project(self) -> str:
        """The project whose alerts it covers."""

    @property
    def matchers(self) -> Sequence[Matcher]:
        """All must hold."""


S = TypeVar("S", bound=Silence)


def labels_of(alert: Mapping[str, JsonValue], run: Mapping[str, JsonValue]) -> Labels:
    """The labels of an alert, as in ``GET /alerts``, of a run with ``name`` and ``tags``."""
    return {
        "project": [str(alert["project"])],
        "run": [str(alert["run_id"])],
        "run_name": [str(run["name"])],
        "cause": [str(alert["cause"])],
        "rule": [str(alert["rule"])],
        "severity": [str(alert["severity"])],
        "layer": [str(name) for name in cast(Sequence[JsonValue], alert["layers"])],
        "tag": [str(name) for name in cast(Sequence[JsonValue], run["tags"])],
    }


def matches(silence: Silence, labels: Labels) -> bool:
    """Whether a silence covers an alert with these labels; whether it is active is not asked."""
    if silence.project not in labels["project"]:
        return False
    return all(_holds(matcher, labels.get(matcher.name, ())) for matcher in silence.matchers)


def covering(silences: Iterable[S], labels: Labels) -> list[S]:
    """Those of the silences that cover an alert."""
    return [silence for silence in silences if matches(silence, labels)]


def _holds(matcher: Matcher, values: Sequence[str]) -> bool:
    """Whether one of the values is as wanted, or with ``!`` none; no value at all is empty text."""
    found = any(_equals(matcher, value) for value in values or ("",))
    return found != matcher.op.startswith("!")


def _equals(matcher: Matcher, value: str) -> bool:
    if matcher.op.endswith("~"):
        return compiled(matcher.value).matches(value)
    return value == matcher.value
