"""The fold: the life of an alert report by report, and that only the reports decide."""

import pickle
import sys
from dataclasses import fields, is_dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch_service.diagnose import fold
from gradwatch_service.domain import MISSING32, Facts, Guard, LayerTable, Severity
from tests.everything import measured
from tests.service.diagnose.faults import (
    FAULTS,
    data_outlier,
    learning_rate_too_high,
    non_finite_input,
    spikes,
)
from tests.service.diagnose.streams import Stream, Told, healthy, mlp, tell
from tests.streams import training


def everything() -> Stream:
    """Spike, NaN, depth explosion, jump of the rate, growth, huge updates, skips and advice."""
    stream = healthy(260, noise=0.15)
    stream.multiply_norms(70, 40.0, 71)
    stream.multiply_loss(70, 2.0, 71)
    stream.scalars["loss"][110] = np.nan
    stream.stats["grad_norm"][110, 2:] = np.inf
    stream.stats["grad_norm"][150:, :] *= 2.0 ** (1.6 * np.arange(6)[::-1])
    stream.scalars["lr"][205:] *= 4
    stream.update_ratio(206, 0.3)
    stream.multiply_norms(207, 1.6 ** np.arange(53))
    stream.multiply_loss(207, 1.2 ** np.arange(53))
    stream.scalars["skipped"] = np.isin(np.arange(260), range(208, 224)) * 1.0
    stream.events = (
        {"kind": "phase", "step": 66},
        *({"kind": "checkpoint", "step": step} for step in range(10, 100)),
        {"kind": "advice", "step": 215, "action": "cap_lr", "status": "applied"},
        {"kind": "advice", "step": 240, "action": "cap_lr", "status": "failed"},
        {"kind": "advice", "step": 240, "action": "scale_lr", "status": "applied"},
    )
    return stream


def test_a_state_before_the_first_report_has_no_alert_and_no_limit() -> None:
    state = fold.init(mlp(), Facts())
    assert (state.ordinal, state.parts, state.guard) == (0, {}, Guard())


def test_counts_the_reports_it_folded() -> None:
    assert tell(healthy(70), [3, 40]).state.ordinal == 70


def test_a_state_keeps_no_long_frame_in_memory() -> None:
    frames = healthy(1_000).frames()
    state, _ = fold.update(fold.init(mlp(), Facts()), frames[0], mlp())
    kept = [rows for part in state.detector.substrate.open for rows in part.stats.values()]
    assert kept
    assert all(rows.base is None or rows.base.nbytes <= 2 * rows.nbytes for rows in kept)


def test_an_empty_frame_changes_nothing() -> None:
    before = tell(data_outlier()).state
    empty = healthy(0).frames()
    assert empty == []
    frame = replace(
        healthy(1).frames()[0],
        steps=np.empty(0, np.int64),
        time=np.empty(0),
        scalars={},
        layers={},
    )
    after, outcome = fold.update(before, frame, mlp())
    assert (after.ordinal, outcome) == (before.ordinal, fold.Outcome())


def fast(reports: int = 300, ratio: float = 0.008) -> Stream:
    """Nothing is learnt, and updates are so large that 3 % is no great rise and calls nobody."""
    stream = healthy(reports)
    stream.scalars["loss"] = np.exp(np.random.default_rng(5).normal(0, 0.05, reports))
    stream.update_ratio(0, ratio)
    return stream


def test_a_warning_is_pending_for_eight_reports_then_fires_then_resolves() -> None:
    stream = fast()
    stream.update_ratio(100, 0.03, 120)
    told = tell(stream)
    assert told.story == [
        ("pending", "learning-rate-too-high", 107),
        ("firing", "learning-rate-too-high", 115),
        ("resolved", "learning-rate-too-high", 159),
    ]
    part = told.parts["learning-rate-too-high"]
    assert (part.opened_step, part.last_step, part.resolved_step) == (107, 127, 159)
    assert (part.rule, part.severity, part.actionable) == (
        "update-ratio-high",
        Severity.WARNING,
        False,
    )


def test_what_calls_a_person_fires_at_once_though_it_is_only_a_warning() -> None:
    stream = fast(ratio=1e-3)
    stream.scalars["lr"][90:] *= 1.2
    stream.update_ratio(100, 0.03)
    assert tell(stream).story == [("firing", "learning-rate-too-high", 107)]
    part = tell(stream).parts["learning-rate-too-high"]
    assert (part.severity, part.actionable) == (Severity.WARNING, True)


def test_an_error_fires_at_once() -> None:
    assert tell(non_finite_input()).story[0] == ("firing", "non-finite-input", 100)


def test_a_pending_alert_fires_as_soon_as_it_becomes_an_error() -> None:
    stream = fast()
    stream.update_ratio(100, 0.03, 108)
    stream.update_ratio(108, 0.5)
    assert tell(stream).story == [
        ("pending", "learning-rate-too-high", 107),
        ("firing", "learning-rate-too-high", 108),
    ]


def test_an_alert_stays_as_bad_as_it_was_while_it_lives() -> None:
    stream = healthy(300)
    stream.update_ratio(100, 0.5, 101)
    stream.update_ratio(101, 0.03)
    stream.multiply_loss(150, 4.0)
    told = tell(stream)
    part = told.parts["learning-rate-too-high"]
    assert told.story == [("firing", "learning-rate-too-high", 100)]
    assert (part.rule, part.severity) == ("update-step-huge", Severity.CRITICAL)
    assert "loss-diverges" in told.signs("learning-rate-too-high")


def test_information_fires_as_information_and_pages_nobody() -> None:
    told = tell(data_outlier(height=4.0, loss=1.0))
    assert told.story == [("firing", "data-outlier", 200), ("resolved", "data-outlier", 216)]
    assert told.parts["data-outlier"].severity is Severity.INFO
    assert not told.parts["data-outlier"].actionable


def test_an_alert_that_comes_back_after_the_all_clear_is_regressed() -> None:
    told = tell(spikes(100, 220, height=30.0))
    assert [kind for kind, _, _ in told.story] == ["firing", "resolved"] * 2
    part = told.parts["data-outlier"]
    assert (part.regressed, part.opened_step, part.last_step) == (True, 100, 220)
    assert told.events[2].text == "One bad batch (step 220) again"


def test_findings_move_to_the_cause_that_explains_more() -> None:
    told = tell(learning_rate_too_high())
    assert told.story[:3] == [
        ("firing", "data-outlier", 200),
        ("pending", "learning-rate-too-high", 207),
        ("resolved", "data-outlier", 207),
    ]
    assert told.events[2].text == (
        "One bad batch (step 200): its findings are explained by: Learning rate too high"
    )
    assert told.parts["data-outlier"].last_step == 207
    assert not told.parts["data-outlier"].regressed


def test_a_live_alert_that_gets_worse_says_so() -> None:
    stream = fast()
    stream.update_ratio(100, 0.03, 160)
    stream.update_ratio(160, 0.5)
    told = tell(stream)
    assert told.story == [
        ("pending", "learning-rate-too-high", 107),
        ("firing", "learning-rate-too-high", 115),
        ("worsened", "learning-rate-too-high", 160),
    ]
    part = told.parts["learning-rate-too-high"]
    assert (part.severity, part.rule) == (Severity.CRITICAL, "update-step-huge")
    assert told.events[2].text == (
        "The learning rate is too high (step 107): now critical, needs a person now"
    )


def test_steps_of_the_job_are_reported_not_counts() -> None:
    stream = data_outlier()
    stream.stride = 10
    told = tell(stream)
    assert told.story[0] == ("firing", "data-outlier", 2000)
    assert told.state.guard.expires_step == 2990 + 256 * 10


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_noisy_run_raises_no_alarm(seed: int) -> None:
    told = tell(healthy(2000, seed=seed, noise=0.3))
    assert [part for part in told.parts.values() if part.severity >= Severity.WARNING] == []


def test_a_frame_tells_only_what_it_changed() -> None:
    stream = data_outlier()
    first, spike, after = stream.frames([200, 201])
    state = fold.init(stream.layers, stream.facts)
    state, quiet = fold.update(state, first, stream.layers)
    state, opened = fold.update(state, spike, stream.layers)
    assert quiet == fold.Outcome()
    assert [part.state for part in opened.parts] == ["firing"]
    state, closed = fold.update(state, after, stream.layers)
    assert [part.state for part in closed.parts] == ["resolved"]
    assert closed.parts == tuple(state.parts.values())


def test_folding_never_changes_an_older_state() -> None:
    stream = everything()
    first, second = stream.frames([140])
    middle, _ = fold.update(fold.init(stream.layers, stream.facts), first, stream.layers)
    kept = pickle.dumps(middle)
    once = fold.update(middle, second, stream.layers)[1]
    assert pickle.dumps(middle) == kept
    assert fold.update(middle, second, stream.layers)[1] == once


@cache
def whole() -> Told:
    """What it led to, folded as one frame."""
    return tell(everything())


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 259), max_size=60))
def test_any_batching_gives_the_same_alerts_events_and_guard(cuts: set[int]) -> None:
    told = tell(everything(), cuts)
    assert told.events == whole().events
    assert told.parts == whole().parts
    assert told.state.guard == whole().state.guard


def test_one_report_at_a_time_gives_the_same_alerts_events_and_guard() -> None:
    told = tell(everything(), range(260))
    assert (told.events, told.parts, told.state.guard) == (
        whole().events,
        whole().parts,
        whole().state.guard,
    )
    assert len(whole().events) >= 8


@pytest.mark.parametrize("cause", FAULTS)
def test_batches_of_seven_agree_with_one_batch(cause: str) -> None:
    stream = FAULTS[cause]()
    once, cut = tell(stream), tell(stream, range(0, len(stream), 7))
    assert (cut.events, cut.parts, cut.state.guard) == (
        once.events,
        once.parts,
        once.state.guard,
    )


def test_the_guard_is_the_same_after_every_report() -> None:
    stream = everything().until(60)
    single = fold.init(stream.layers, stream.facts)
    for report, frame in enumerate(stream.frames(range(60)), 1):
        single, _ = fold.update(single, frame, stream.layers)
        assert single.guard == tell(stream.until(report)).state.guard


def test_layers_that_join_later_keep_what_is_known_of_the_others() -> None:
    stream = everything()
    wide = LayerTable((*reversed(stream.layers.layers), *mlp(7).layers[6:]))
    first, second = stream.frames([150])
    columns = {
        name: np.concatenate([values[:, ::-1], np.full_like(values[:, :1], np.nan)], axis=1)
        for name, values in second.layers.items()
    }
    columns = {name: np.where(np.isnan(v), MISSING32, v) for name, v in columns.items()}
    state, before = fold.update(fold.init(stream.layers, stream.facts), first, stream.layers)
    state, after = fold.update(state, replace(second, layers=columns), wide)
    assert state.history.layers.names == (*stream.layers.names, "fc6")
    assert before.events + after.events == whole().events


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_numbers_anywhere_are_survived_and_found(value: float) -> None:
    stream = everything()
    for values in (*stream.scalars.values(), *stream.stats.values()):
        values[40:50] = value
    told = tell(stream)
    finite = [a.params.get("max_norm", 1.0) for p in told.parts.values() for a in p.advice]
    assert np.isfinite(np.array(finite, dtype=float)).all()
    assert any(part.rule == "non-finite" for part in told.parts.values())


def test_a_run_that_reports_nothing_but_a_loss_is_folded() -> None:
    stream = healthy(120, layers=LayerTable())
    stream.scalars = {"loss": stream.scalars["loss"]}
    stream.stats = {}
    told = tell(stream, [50])
    assert (told.parts, told.state.guard.max_norm) == ({}, None)


def bytes_of(value: object, seen: dict[int, object]) -> int:
    """What a value takes in memory with all it refers to; what was seen before counts once."""
    if value is None or id(value) in seen:
        return 0
    seen[id(value)] = value
    inside: list[object] = []
    if isinstance(value, np.ndarray):
        inside = [value.base]
    elif isinstance(value, dict):
        inside = [*value, *value.values()]
    elif isinstance(value, tuple | list | frozenset):
        inside = list(value)
    elif is_dataclass(value):
        inside = [getattr(value, one.name) for one in fields(value)]
        inside.append(getattr(value, "__dict__", None))
    return sys.getsizeof(value) + sum(bytes_of(one, seen) for one in inside)


@pytest.mark.parametrize("count", [3, 300, 2_000])
def test_a_state_weighs_about_what_it_takes_in_memory(count: int) -> None:
    layers = mlp(count)
    frame = measured(training(192, layers=layers).frame, 1)
    state = fold.init(layers, Facts())
    for row in range(192):
        state, _ = fold.update(state, frame.rows(row, row + 1), layers)
    seen: dict[int, object] = {}
    bytes_of(layers, seen)  # runs share their tables
    assert state.size == pytest.approx(bytes_of(state, seen), rel=0.25)
