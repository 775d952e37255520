"""The figures of the detection benchmark, on cases small enough to count by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from benchmarks.detection import measures
from benchmarks.detection.measures import Diagnosis, Judged, Rate
from benchmarks.detection.recording import Label

LABEL = Label(
    fault="lr-x10",
    t0=200,
    t_nf=400,
    t_irr=300,
    causes=("learning-rate-jump", "learning-rate-too-high"),
    systemic=True,
    gradual=True,
    repairable=True,
)


def faulty(*alarms: int, label: Label = LABEL, diagnoses: tuple[Diagnosis, ...] = ()) -> Judged:
    return Judged("mlp", label, 200, 1, 999, alarms, diagnoses)


def healthy(*alarms: int, interval: int = 1) -> Judged:
    return Judged("mlp", None, 1000 * interval, interval, 1000 * interval - 1, alarms)


@pytest.mark.parametrize(
    ("events", "bound"),
    [(0, 2.995732), (1, 4.743865), (2, 6.295794), (3, 7.753657), (10, 16.962219), (100, 118.0)],
)
def test_the_poisson_bound_is_that_of_the_tables(events: int, bound: float) -> None:
    assert measures.poisson_upper(events) == pytest.approx(bound, rel=1e-3)


def test_the_poisson_bound_leaves_five_percent() -> None:
    for events in (0, 4, 37, 2000):
        bound = measures.poisson_upper(events)
        assert measures.poisson_tail(events, bound) == pytest.approx(0.05, abs=1e-9)


def test_a_rate_is_per_ten_thousand_steps_with_its_bound() -> None:
    rate = Rate(events=3, steps=60_000)
    assert (rate.per_10k, round(rate.upper, 3)) == (0.5, 1.292)
    assert math.isnan(Rate(0, 0).per_10k)


def test_alarms_at_most_64_reports_apart_are_one_episode() -> None:
    assert measures.episodes([5, 69, 70, 135, 300], 64) == [5, 135, 300]
    assert healthy(5, 69, 134).false_alarms == 2
    assert healthy(5, 60, 700, 1400, interval=10).false_alarms == 2


def test_an_alarm_before_the_fault_is_false_and_finds_nothing() -> None:
    run = faulty(150)
    assert (run.false_alarms, run.detected, run.lead) == (1, None, 0)


def test_an_alarm_is_in_time_until_the_run_is_lost() -> None:
    assert faulty(150, 300).detected == 300
    assert faulty(301).detected is None
    assert faulty(999, label=replace(LABEL, t_irr=None)).detected == 999


def test_a_healthy_run_has_nothing_to_find() -> None:
    run = healthy(5)
    assert (run.detected, run.lead, run.verdict, run.false_alarms) == (None, None, None, 1)


def test_the_lead_is_to_whatever_comes_first() -> None:
    assert faulty(210).lead == 90
    assert faulty(210, label=replace(LABEL, t_nf=250)).lead == 40
    assert faulty(210, label=replace(LABEL, t_irr=None)).lead == 190
    assert faulty(210, label=replace(LABEL, t_irr=None, t_nf=None)).lead is None


def test_the_lead_counts_gradual_faults_that_have_an_end() -> None:
    sudden = replace(LABEL, gradual=False)
    endless = replace(LABEL, t_nf=None, t_irr=None)
    runs = [
        faulty(250),
        faulty(251),
        faulty(),
        faulty(210, label=sudden),
        faulty(210, label=endless),
        healthy(),
    ]
    assert measures.lead_share(runs) == pytest.approx(1 / 3)


def test_every_fault_weighs_the_same_in_the_macro_recall() -> None:
    other = replace(LABEL, fault="nan")
    runs = [faulty(210), faulty(210), faulty(), faulty(), faulty(210, label=other), healthy()]
    assert list(measures.by_fault(runs)) == ["lr-x10", "nan"]
    assert measures.macro(runs, measures.recall) == 0.75
    assert math.isnan(measures.macro([healthy()], measures.recall))


def test_false_alarms_count_healthy_runs_and_faulty_ones_until_the_fault() -> None:
    assert measures.false_alarms([healthy(1, 500), faulty(20, 250)]) == Rate(3, 1200)


def test_delays_are_of_the_runs_that_were_found() -> None:
    delays = measures.delays([faulty(200), faulty(216), faulty(301), healthy(5)])
    assert delays == [0, 16]
    assert measures.quantile(delays, 0.5) == 8.0
    assert math.isnan(measures.quantile([], 0.5))


def test_the_verdict_is_the_worst_diagnosis_within_64_reports() -> None:
    said = [
        Diagnosis(150, 4, ("fp16-overflow",)),
        Diagnosis(210, 3, ("data-outlier",)),
        Diagnosis(274, 4, ("learning-rate-too-high", "one-layer")),
        Diagnosis(275, 4, ("one-layer",)),
    ]
    assert faulty(150, 210, diagnoses=tuple(said)).verdict == said[2]
    assert faulty(150, 210, diagnoses=tuple(said[:2])).verdict == said[1]


def test_a_cause_is_right_if_it_is_among_the_acceptable_ones() -> None:
    runs = [
        faulty(210, diagnoses=(Diagnosis(210, 3, ("learning-rate-too-high",)),)),
        faulty(210, diagnoses=(Diagnosis(210, 3, ("one-layer", "learning-rate-jump")),)),
        faulty(210, diagnoses=(Diagnosis(210, 3, ("one-layer", "no-warm-up")),)),
        faulty(301, diagnoses=(Diagnosis(301, 3, ("one-layer",)),)),
    ]
    assert measures.top(runs, 1) == pytest.approx(1 / 3)
    assert measures.top(runs, 2) == pytest.approx(2 / 3)
