"""What the job was told to change: settings that move, phases and resumes it announces."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.detect import context
from gradwatch_service.detect.context import Context
from gradwatch_service.domain import Frame, JsonValue
from tests.service.detect.watching import every, watch
from tests.streams import Scenario, cut, level, steady


def announced(run: Scenario, step: int = 0) -> list[int]:
    """The reports that are marked, however the stream is cut."""
    marked = [
        np.concatenate([x.view.announced for x in watch(run, every(size, run)).seen])
        for size in ((step,) if step else (1, 7, len(run)))
    ]
    assert all(np.array_equal(marked[0], one) for one in marked)
    return np.flatnonzero(marked[0]).tolist()


def test_a_change_little_by_little_is_one_while_it_goes_on_and_64_reports_after() -> None:
    # By a quarter in 64 reports: 1 % each is, 0.3 % is not.
    fast = steady(400).scalar("lr", level(400, 100, 100 * np.log2(1.01), 100))
    assert announced(fast) == list(range(100 + 22, 199 + 64 - 22))
    assert announced(steady(400).scalar("lr", level(400, 100, 100 * np.log2(1.003), 100))) == []


def test_a_schedule_that_goes_up_and_down_is_a_change_at_each_turn() -> None:
    wave = 1e-3 * (1.5 + np.cos(np.arange(640) / 640 * 2 * np.pi))
    marked = announced(steady(640).scalar("lr", wave))
    assert 0 < len(marked) < 640
    assert announced(steady(640).scalar("lr", 1e-3 * (15 + wave / 1e-3))) == []


def test_a_setting_that_is_not_sent_keeps_its_value() -> None:
    rate = np.full(300, np.nan)
    rate[[10, 200]] = 1e-3, 2e-3
    assert announced(steady(300).scalar("lr", rate)) == list(range(200, 264))
    sparse = steady(300).scalar("lr", level(300, 200, 1.0))
    assert announced(sparse.without(range(201, 300))) == list(range(200, 264))


@pytest.mark.parametrize("kind", ["phase", "resume"])
def test_an_announced_step_counts_for_64_reports_from_the_first_that_reaches_it(kind: str) -> None:
    assert announced(steady(200).announced(kind, 50)) == list(range(50, 114))
    two = steady(200).announced(kind, 20).announced(kind, 50)
    assert announced(two) == list(range(20, 114))


def test_other_announcements_change_nothing() -> None:
    assert announced(steady(100).announced("checkpoint", 50)) == []


def _reports(steps: list[int], *events: dict[str, JsonValue]) -> Frame:
    return Frame(np.array(steps, np.int64), np.zeros(len(steps)), events=events)


def fold(*frames: Frame) -> list[int]:
    """The steps of the marked reports."""
    state, ordinal, marked = Context(), 0, []
    for frame in frames:
        state = context.told(state, frame.events)
        if len(frame):
            place = np.arange(ordinal, ordinal + len(frame))
            state, changed = context.follow(state, frame, place)
            marked += frame.steps[changed].tolist()
            ordinal += len(frame)
    return marked


PHASE: dict[str, JsonValue] = {"kind": "phase", "step": 25}


def test_an_announcement_may_come_frames_before_its_step_and_without_reports() -> None:
    first, second = _reports([0, 10, 20]), _reports([30, 40])
    assert fold(_reports([0, 10, 20], PHASE), second) == [30, 40]
    assert fold(first, _reports([], PHASE), second) == [30, 40]
    assert fold(first, _reports([30, 40], PHASE)) == [30, 40]


def test_one_that_comes_after_the_report_of_its_step_is_too_late() -> None:
    assert fold(_reports([0, 10, 20, 30]), _reports([40, 50], PHASE)) == []


def test_a_resume_counts_from_where_the_steps_go_back() -> None:
    resume: dict[str, JsonValue] = {"kind": "resume", "step": 25}
    assert fold(_reports([80, 90]), _reports([25, 26], resume)) == [25, 26]
    assert fold(_reports([70]), _reports([80, 90, 25, 26], resume)) == [25, 26]


def test_an_announcement_without_a_step_is_none_and_only_eight_are_awaited() -> None:
    state = context.told(Context(), [{"kind": "phase"}, {"kind": "phase", "step": "7"}])
    assert state == Context()
    many = context.told(Context(), [{"kind": "phase", "step": step} for step in range(20)])
    assert many.awaited == tuple(range(12, 20))


def test_pieces_carry_announcements_with_the_report_of_their_step() -> None:
    run = steady(30).announced("phase", 10).announced("resume", 29)
    assert [len(piece.events) for piece in cut(run.frame, [10, 20])] == [0, 1, 1]
