"""Joining logged frames: the same reports, fewer frames, nothing mixed that differs in form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Facts, Frame
from gradwatch_service.ingest.replay import MAX_REPORTS, joined
from tests.scenarios import FAULTY, scenario
from tests.service.ingest.training import exploding
from tests.streams import Scenario, cut

WHOLE = exploding(seed=3)


def state_after(run: Scenario, frames: Iterable[Frame]) -> WriterState:
    state = fold.init(run.layers, Facts())
    for frame in frames:
        state, _ = fold.update(state, frame, run.layers)
    return state


@given(st.sets(st.integers(1, len(WHOLE) - 1)))
def test_frames_of_one_form_become_one_frame(places: set[int]) -> None:
    (frame,) = joined(cut(WHOLE, sorted(places)))
    assert np.array_equal(frame.steps, WHOLE.steps)
    for name, column in WHOLE.scalars.items():
        assert frame.scalars[name].tobytes() == column.tobytes()
    for name, block in WHOLE.layers.items():
        assert frame.layers[name].tobytes() == block.tobytes()
    assert frame.layers_hash == WHOLE.layers_hash


def test_no_joined_frame_is_longer_than_the_limit() -> None:
    part = next(cut(WHOLE, [100]))
    sizes = [len(frame) for frame in joined([part] * 12)]
    assert sum(sizes) == 1200
    assert max(sizes) <= MAX_REPORTS
    assert sizes == [500, 500, 200]


def test_a_frame_longer_than_the_limit_stays_as_it_is() -> None:
    long = next(iter(joined([WHOLE] * 4)))
    assert len(long) == 480
    assert [len(frame) for frame in joined([long, long, WHOLE])] == [480, 480, 120]


def test_frames_of_another_form_stay_apart() -> None:
    first, second = cut(WHOLE, [50])
    others = [
        replace(second, layers_hash="another table"),
        replace(second, scalars={"loss": second.scalars["loss"]}),
        replace(second, layers={"grad_norm": second.layers["grad_norm"]}),
        replace(second, profiles={"time": np.ones((len(second), 4), dtype=np.float32)}),
    ]
    for other in others:
        assert [len(frame) for frame in joined([first, other])] == [50, 70]


def test_a_frame_with_events_keeps_its_place() -> None:
    parts = list(cut(WHOLE, [30, 60, 90]))
    parts[2] = replace(parts[2], events=({"kind": "checkpoint", "step": 70},))
    frames = list(joined(parts))
    assert [len(frame) for frame in frames] == [60, 30, 30]
    assert frames[1] is parts[2]


def test_nothing_to_replay_is_nothing() -> None:
    assert list(joined([])) == []


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(sorted(FAULTY)), st.integers(1, 9))
def test_the_fold_cannot_tell_the_difference(name: str, size: int) -> None:
    run = scenario(name)
    reports = len(run.frame)
    frames = list(cut(run.frame, range(size, reports, size)))
    one_by_one, replayed = state_after(run, frames), state_after(run, joined(frames))
    assert replayed.parts == one_by_one.parts
    assert replayed.guard == one_by_one.guard
