"""Who judges changes nothing: the same tasks have the same answers, here or in another process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.domain import Facts, Frame, Layer, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import (
    Birth,
    Judge,
    Judged,
    OwnJudge,
    Part,
    State,
    Task,
    UnfitError,
)
from gradwatch_service.ingest.judge_process import ProcessJudge
from gradwatch_service.store import checkpoint
from tests.scenarios import FAULTY, scenario
from tests.service.ingest.rig import DEADLINE
from tests.streams import MLP, Scenario, cut, training

RUN = training(150)
WIDE = LayerTable((*MLP.layers, Layer("late", "linear", 7, (64, 64))))


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessJudge]:
    judge = ProcessJudge()
    yield judge
    judge.close()


def part(frame: Frame, layers: LayerTable) -> Part:
    return Part(frame, layers, (len(frame),))


def chained(judge: Judge, birth: Birth, steps: Sequence[Sequence[Part]]) -> list[Judged]:
    """The answers to tasks each of which is handed in before the one it builds on is answered."""
    base: State | Birth = birth
    answers = []
    for parts in steps:
        base, answer = judge.submit(Task(base, parts))
        answers.append(answer)
    return [answer.result(DEADLINE) for answer in answers]


def without_states(found: Sequence[Judged]) -> list[str]:
    """What is to be known of them; limits are arrays, which have no equality of their own."""
    return [repr(replace(one, state=None, calm=None)) + _limits(one) for one in found]


def _limits(one: Judged) -> str:
    calm = one.calm
    if calm is None:
        return "all at once"
    numbers = [calm.norm, calm.loss, *calm.layers.tolist(), *calm.ratio.tolist()]
    return repr((calm.columns, numbers))


def both(process: ProcessJudge, birth: Birth, steps: Sequence[Sequence[Part]]) -> list[Judged]:
    """The answers, which are the same whoever judges."""
    own = chained(OwnJudge(Fold()), birth, steps)
    assert without_states(chained(process, birth, steps)) == without_states(own)
    return own


@pytest.mark.parametrize("name", sorted(FAULTY))
def test_both_judges_find_the_same(process: ProcessJudge, name: str) -> None:
    run = scenario(name)
    frames = list(cut(run.frame, range(60, len(run), 60)))
    steps = [[part(frame, run.layers) for frame in frames[at : at + 3]] for at in (0, 3, 6)]
    found = both(process, Birth(run.layers, Facts()), steps)
    assert found[-1].ordinal == sum(len(one.frame) for parts in steps for one in parts)


def test_layers_may_come_and_go_within_and_between_tasks(process: ProcessJudge) -> None:
    run, wide = RUN, training(150, layers=WIDE)
    bare = Scenario(replace(run.frame, layers={}, layers_hash=""), run.layers)
    pieces = [
        [_rows(run, 0, 70), _rows(wide, 70, 90), _rows(bare, 90, 95)],
        [_rows(bare, 95, 100)],
        [_rows(wide, 100, 120), _rows(run, 120, 130)],
        [],
        [_rows(run, 130, 140), _rows(wide, 140, 150)],
    ]
    found = both(process, Birth(MLP, Facts()), pieces)
    assert [one.ordinal for one in found] == [95, 100, 130, 130, 150]


def _rows(run: Scenario, first: int, last: int) -> Part:
    return part(run.frame.rows(first, last), run.layers)


def test_two_tasks_on_one_state_do_not_disturb_each_other(process: ProcessJudge) -> None:
    base = process.submit(Task(Birth(MLP, Facts()), [_rows(RUN, 0, 80)])).state
    short = process.submit(Task(base, [_rows(RUN, 80, 90)])).answer
    long = process.submit(Task(base, [_rows(RUN, 80, 150)])).answer
    (whole,) = chained(OwnJudge(Fold()), Birth(MLP, Facts()), [[_rows(RUN, 0, 150)]])
    assert short.result(DEADLINE).ordinal == 90
    assert without_states([long.result(DEADLINE)]) == without_states([whole])


def test_a_checkpoint_of_one_is_where_another_begins(process: ProcessJudge) -> None:
    task = Task(Birth(MLP, Facts()), [_rows(RUN, 0, 100)], pack=True)
    ours = OwnJudge(Fold()).submit(task).answer.result()
    theirs = process.submit(task).answer.result(DEADLINE)
    assert ours.packed is not None
    assert ours.packed == theirs.packed
    found = both(process, Birth(MLP, Facts(), ours.packed), [[], [_rows(RUN, 100, 150)]])
    assert [one.ordinal for one in found] == [100, 150]


@pytest.mark.parametrize("damage", [b"", b"\0" * 100])
def test_a_checkpoint_that_cannot_be_used_is_refused(process: ProcessJudge, damage: bytes) -> None:
    body = checkpoint.pack(fold.init(MLP, Facts()))
    assert body is not None
    judges: tuple[Judge, ...] = (process, OwnJudge(Fold()))
    for judge in judges:
        for bad in (damage, body[:-1], bytes(32) + body[32:]):
            task = Task(Birth(MLP, Facts(), bad), ())
            assert isinstance(judge.submit(task).answer.exception(DEADLINE), UnfitError)
        assert judge.submit(Task(Birth(MLP, Facts(), body), ())).answer.result(DEADLINE)


def test_what_builds_on_a_task_that_failed_fails_and_its_neighbours_do_not(
    process: ProcessJudge,
) -> None:
    judges: tuple[Judge, ...] = (process, OwnJudge(Fold()))
    for judge in judges:
        bad = judge.submit(Task(Birth(MLP, Facts(), b"bad"), ()))
        worse = judge.submit(Task(bad.state, [_rows(RUN, 0, 10)]))
        good = judge.submit(Task(Birth(MLP, Facts()), [_rows(RUN, 0, 10)]))
        assert worse.answer.exception(DEADLINE) is not None
        assert good.answer.result(DEADLINE).ordinal == 10


def test_a_frame_on_which_judging_fails_is_left_out_and_its_neighbours_are_not() -> None:
    frames = list(cut(RUN.frame, range(5, 150, 5)))
    joined = Part.joined((frame, MLP) for frame in frames)
    assert [len(one.lengths) for one in joined] == [30]
    judge = OwnJudge(Fold(update=_stumbling))
    found = judge.submit(Task(Birth(MLP, Facts()), [*joined, part(frames[3], MLP)])).answer.result()
    assert found.ordinal == 150  # 145 of the frames, and the one that comes again
    assert found.failures.keys() == {20}
    assert "a rule stumbled" in found.failures[20].text
    assert "_stumbling" in found.failures[20].trace
    others = [part(frame, MLP) for frame in (*frames[:20], *frames[21:], frames[3])]
    (same,) = chained(OwnJudge(Fold()), Birth(MLP, Facts()), [others])
    assert without_states([replace(found, failures={})]) == without_states([same])


def _stumbling(state: WriterState, frame: Frame, layers: LayerTable) -> tuple[WriterState, Outcome]:
    if 100 in frame.steps:
        raise ZeroDivisionError("a rule stumbled")
    return fold.update(state, frame, layers)


def test_parts_come_apart_into_the_frames_they_were_joined_from() -> None:
    frames = list(cut(RUN.frame, [1, 7, 70]))
    (joined,) = Part.joined((frame, MLP) for frame in frames)
    assert joined.lengths == (1, 6, 63, 80)
    for one, frame in zip(joined.frames(), frames, strict=True):
        assert np.array_equal(one.frame.steps, frame.steps)
        assert one.frame.layers["grad_norm"].tobytes() == frame.layers["grad_norm"].tobytes()
