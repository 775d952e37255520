"""Which reports may wait: none in which a rule that acts at once would speak."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from gradwatch_service.detect.episodes import Episode
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.tuning import as_changes, thresholds
from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.calm import Calm, calm
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import MISSING32, Facts, Frame, RuleChanges
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.streams import MLP, Scenario, cut, training

AT_ONCE = {
    "attention-logit", "gradient-spike", "layer-spike", "loss-spike", "non-finite",
    "update-step-huge",
}  # fmt: skip
RUN = training(200)
AT_A_TIME = 16  # cutting reports otherwise changes nothing: test_fold.py, test_scenarios.py


def after(run: Scenario, reports: int) -> WriterState:
    state = fold.init(run.layers, Facts())
    return fold.update(state, run.frame.rows(0, reports), run.layers)[0]


@pytest.fixture(scope="module")
def limits() -> Calm:
    found = calm(after(RUN, 160))
    assert found is not None
    return found


def row(**changed: float) -> Frame:
    """Report 160, with other scalars."""
    frame = replace(RUN.frame.rows(160, 161), layers_hash=MLP.hash)
    scalars = {name: np.array([value]) for name, value in changed.items()}
    return replace(frame, scalars={**frame.scalars, **scalars})


def stat(name: str, value: float, column: int = 1) -> Frame:
    """Report 160, with another value of one layer."""
    table = row().layers.get(name, np.zeros((1, len(MLP)), np.float32)).copy()
    table[0, column] = value
    return replace(row(), layers={**row().layers, name: table})


def test_the_usual_may_wait(limits: Calm) -> None:
    assert limits.holds(row())
    assert limits.holds(replace(row(), layers={}, layers_hash=""))
    assert limits.holds(row(accuracy=np.nan))
    assert limits.holds(stat("grad_norm", MISSING32))


@pytest.mark.parametrize(
    "frame",
    [
        row(loss=np.nan), row(loss=np.inf), row(loss=-1.0), row(loss=100.0), row(grad_norm=1e3),
        row(grad_norm=np.nan), row(found_inf=1.0), row(attention_logit_max=1e3),
        stat("grad_norm", 1e3), stat("grad_norm", np.inf), stat("weight_norm", np.nan),
        stat("grad_nonfinite", 1.0), stat("weight_nonfinite", 1.0), stat("update_norm", 1e3),
        stat("attention_logit_max", 2e3),
        replace(row(), events=({"kind": "checkpoint", "step": 160},)),
        replace(row(), profiles={"time": np.ones((1, 8), np.float32)}),
        replace(row(), layers_hash="another table"),
        row().rows(0, 0),
    ],
)  # fmt: skip
def test_what_is_not_as_usual_may_not(limits: Calm, frame: Frame) -> None:
    assert not limits.holds(frame)


def test_nothing_may_wait_before_there_is_a_baseline() -> None:
    assert calm(after(RUN, 63)) is None
    assert calm(after(RUN, 64)) is not None


def test_nothing_may_wait_while_something_is_wrong() -> None:
    loss = RUN.frame.scalars["loss"].copy()
    loss[150] = np.nan
    assert calm(after(RUN.scalar("loss", loss), 160)) is None


WARIEST = as_changes(
    {rule.id: {one.name: one.low for one in thresholds(rule)} for rule in catalogue()}
)


def acting(state: WriterState) -> dict[str, Episode]:
    """Episodes of rules that act at once."""
    return {rule: one for rule, one in state.detector.episodes.items() if rule in AT_ONCE}


def pieces(run: Scenario, reports: int) -> Iterator[Frame]:
    """All of a run, so many reports at a time."""
    for frame in cut(run.frame, range(reports, len(run), reports)):
        yield replace(frame, layers_hash=run.layers.hash if frame.layers else "")


def held_back(
    state: WriterState, run: Scenario, reports: Iterable[tuple[int, Frame]]
) -> Iterator[tuple[int, str]]:
    """Fold reports one by one; which of them open something although they may wait?"""
    for place, frame in reports:
        limits, before = calm(state), acting(state)
        state, _ = fold.update(state, frame, run.layers)
        if limits is not None and limits.holds(frame):
            for rule, one in acting(state).items():
                if one.opened_ordinal == place and before.get(rule) != one:
                    yield place, rule


@pytest.mark.parametrize("rules", [(), WARIEST], ids=["defaults", "wariest"])
@pytest.mark.parametrize("name", [*FAULTY, *HEALTHY])
def test_a_rule_that_acts_at_once_opens_at_no_report_that_may_wait(
    name: str, rules: RuleChanges
) -> None:
    run = scenario(name)
    state, found = fold.init(run.layers, Facts(rules=rules)), []
    reports = enumerate(pieces(run, 1))
    for piece in pieces(run, AT_A_TIME):
        before, each = state, list(islice(reports, len(piece)))
        state, _ = fold.update(before, piece, run.layers)
        if acting(state) != acting(before):  # else nothing opened, at whatever report
            found += held_back(before, run, each)
    assert found == []


def test_rules_that_need_no_history_make_what_may_wait_as_small_as_they_are_set() -> None:
    facts = Facts(rules=as_changes({"update-step-huge": {"huge": 0.05}}))
    state, _ = fold.update(fold.init(RUN.layers, facts), RUN.frame.rows(0, 160), RUN.layers)
    usual, wary = calm(after(RUN, 160)), calm(state)
    frame = row()
    tenth = replace(
        frame, layers={**frame.layers, "update_norm": 0.1 * frame.layers["weight_norm"]}
    )
    assert usual is not None
    assert wary is not None
    assert usual.holds(tenth)
    assert not wary.holds(tenth)
