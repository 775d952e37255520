"""Which alerts a silence covers."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from gradwatch_service.notify.silencing import NAMES, covering, labels_of, matches
from gradwatch_service.store.silences import Matcher, Silence

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
ALERT = {
    "project": "lm",
    "run_id": "01935b2e-7a4c-7000-8000-000000000001",
    "cause": "plateau",
    "rule": "loss-plateau",
    "severity": "warning",
    "layers": ["fc1", "fc2"],
}
LABELS = labels_of(ALERT, {"name": "small-3", "tags": []})


def silence(*matchers: tuple[str, str, str], project: str = "lm") -> Silence:
    made = tuple(Matcher(name, op, value) for name, op, value in matchers)  # type: ignore[arg-type]
    return Silence(uuid.UUID(int=1), project, made, "", "ada", NOW, NOW, NOW)


def test_every_label_has_a_name() -> None:
    assert tuple(LABELS) == NAMES


@pytest.mark.parametrize(
    ("matcher", "covered"),
    [
        (("cause", "=", "plateau"), True),
        (("cause", "=", "plat"), False),
        (("cause", "!=", "plateau"), False),
        (("severity", "=~", "info|warning"), True),
        (("severity", "!~", "info|warning"), False),
        (("run_name", "=~", "small-.*"), True),
        (("run_name", "=~", "small"), False),
        (("run_name", "!~", "small"), True),
        (("layer", "=", "fc2"), True),
        (("layer", "!=", "fc2"), False),
        (("layer", "!=", "fc3"), True),
        (("tag", "=", ""), True),
        (("tag", "=", "nightly"), False),
        (("tag", "!=", "nightly"), True),
        (("tag", "=~", ".+"), False),
    ],
)
def test_a_matcher_looks_at_its_label(matcher: tuple[str, str, str], covered: object) -> None:
    assert matches(silence(matcher), LABELS) is covered


def test_all_matchers_must_hold() -> None:
    cause, run = ("cause", "=", "plateau"), ("run_name", "=", "small-3")
    assert matches(silence(cause, run), LABELS)
    assert not matches(silence(cause, ("run_name", "=", "large")), LABELS)


def test_a_silence_covers_its_own_project_only() -> None:
    other = silence(("cause", "=", "plateau"), project="vision")
    assert not matches(other, LABELS)
    assert covering([other, silence(("rule", "=~", "loss-.*"))], LABELS) == [
        silence(("rule", "=~", "loss-.*"))
    ]
