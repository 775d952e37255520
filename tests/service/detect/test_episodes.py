"""From levels per report to episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect.episodes import Episode, Finding, follow
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet, run_lengths
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, Severity
from tests.scenarios import scenario
from tests.service.detect.watching import watch

INFO, W, E = Severity.INFO, Severity.WARNING, Severity.ERROR


def view_at(ordinal: int, size: int) -> View:
    some = watch(scenario("plain convergence")).seen[0].view
    place = ordinal + np.arange(size)
    return replace(some, ordinal=place, step=place * 10)


def walk(
    level: Sequence[int], *, known: Sequence[bool] | None = None, clear_after: int = 4
) -> list[tuple[int, str, str]]:
    """Findings of an episode over these levels; a report without a level is calm."""
    episode: Episode | None = None
    found: list[Finding] = []
    for start in range(0, len(level), 16):
        part = np.array(level[start : start + 16], np.int8)
        measured = None if known is None else np.array(known[start : start + 16])
        signal = Signal(part, part == 0, lambda _row: Sighting(()), measured)
        episode, new = follow("x", clear_after, episode, signal, view_at(start, len(part)))
        found += new
    return [(x.ordinal, x.kind, x.severity.label) for x in found]


def test_an_episode_opens_worsens_and_clears_once() -> None:
    assert walk([0, W, W, INFO, E, W, 0, 0, 0, 0, 0]) == [
        (1, "opened", "warning"),
        (4, "worsened", "error"),
        (9, "cleared", "error"),
    ]


def test_a_report_that_is_not_calm_starts_the_count_again() -> None:
    assert walk([W, 0, 0, 0, W, 0, 0, 0, 0]) == [
        (0, "opened", "warning"),
        (8, "cleared", "warning"),
    ]


def test_a_report_without_a_measurement_goes_on_as_the_one_before() -> None:
    unknown_after_bad = [True, False, False, False, False, False]
    assert walk([W, 0, 0, 0, 0, 0], known=unknown_after_bad) == [(0, "opened", "warning")]
    unknown_after_calm = [True, True, False, False, False, False]
    assert walk([W, 0, 0, 0, 0, 0], known=unknown_after_calm)[-1] == (4, "cleared", "warning")


def test_what_comes_back_within_64_reports_is_the_same_episode() -> None:
    found = walk([E, *[0] * 63, W])
    assert found == [(0, "opened", "error"), (4, "cleared", "error"), (64, "opened", "error")]
    assert walk([E, *[0] * 64, W])[-1] == (65, "opened", "warning")


def test_a_merged_episode_keeps_its_beginning() -> None:
    state = Episode(W, 5, 50, 5, 50, calm=4, active=False)
    signal = Signal(np.array([E], np.int8), np.array([False]), lambda _row: Sighting(()))
    again, found = follow("x", 4, state, signal, view_at(40, 1))
    assert again == Episode(E, 5, 50, 40, 400)
    assert (found[0].kind, found[0].opened_ordinal, found[0].opened_step) == ("opened", 5, 50)


def test_a_finding_carries_what_the_rule_saw_and_a_clearing_nothing() -> None:
    fact = Evidence("seen", "text", 20)
    sighting = Sighting((fact,), (1, 0))
    signal = Signal(np.array([0, 0, W], np.int8), np.array([True] * 3), lambda _row: sighting)
    episode, found = follow("some-rule", 1, None, signal, view_at(0, 3))
    expected = Finding(
        "some-rule", "opened", W, 2, 20, 2, 20, (fact,), ("1.weight", "0.weight"), (1, 0)
    )
    assert found == [expected]
    _, cleared = follow("some-rule", 1, episode, quiet(view_at(3, 1)), view_at(3, 1))
    assert (cleared[0].kind, cleared[0].evidence, cleared[0].layers) == ("cleared", (), ())


def test_more_to_say_about_an_episode_is_noted_without_changing_it() -> None:
    level = np.array([0, W, W, 0, E, 0, 0], np.int8)
    noted = np.array([True, False, True, True, True, False, True])
    signal = Signal(level, level == 0, lambda _row: Sighting(()), noted=noted)
    _, found = follow("x", 2, None, signal, view_at(0, 7))
    assert [(x.ordinal, x.kind, x.severity.label) for x in found] == [
        (1, "opened", "warning"),
        (2, "noted", "warning"),
        (3, "noted", "warning"),
        (4, "worsened", "error"),
        (6, "cleared", "error"),
    ]


def test_a_quiet_rule_without_an_episode_costs_nothing() -> None:
    view = view_at(0, 3)
    signal = quiet(view)
    assert follow("x", 4, None, signal, view) == (None, [])
    assert signal.level is None
    assert signal.calm.tolist() == [True] * 3
    assert signal.describe(0) == Sighting(())


def test_levels_take_the_highest_severity_that_holds() -> None:
    first, second = np.array([True, True, False]), np.array([False, True, False])
    assert levels(view_at(0, 3), (W, first), (E, second), (INFO, first)).tolist() == [2, 3, 0]


@pytest.mark.parametrize(
    ("holds", "known", "carried", "expected"),
    [
        ("1101", "1111", 2, [3, 4, 0, 1]),
        ("0111", "1111", 5, [0, 1, 2, 3]),
        ("1001", "1011", 1, [2, 2, 0, 1]),
        ("0000", "0000", 3, [3, 3, 3, 3]),
    ],
)
def test_run_lengths_pass_over_what_was_not_measured(
    holds: str, known: str, carried: int, expected: list[int]
) -> None:
    flags = [np.array([mark == "1" for mark in text]) for text in (holds, known)]
    assert run_lengths(flags[0], carried, flags[1]).tolist() == expected
    if known == "1111":
        assert run_lengths(flags[0], carried).tolist() == expected
