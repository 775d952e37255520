"""What people do about an alert, laid over what was judged."""

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import pytest

from gradwatch_service.diagnose.acts import (
    ENDED,
    ENDED_BY,
    Act,
    ActKind,
    Place,
    Span,
    Standing,
    reached,
    standing,
)
from gradwatch_service.diagnose.merge import Alert, join
from gradwatch_service.domain import Severity
from tests.service.diagnose.faults import data_outlier
from tests.service.diagnose.streams import tell

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
FIRING = replace(
    join(uuid.UUID(int=1), {"w": tell(data_outlier()).parts["data-outlier"]}),
    state="firing",
    severity=Severity.ERROR,
    opened_step=100,
    last_step=120,
    resolved_step=None,
    regressed=False,
)
RESOLVED = replace(FIRING, state="resolved", resolved_step=150)


def span(begin: int, last: int, end: int | None = None, attempt: int = 1) -> Span:
    over = None if end is None else Place(attempt, end)
    return Span(Place(attempt, begin), Place(attempt, last), over)


def act(kind: ActKind = "acknowledged", step: int = 120, **more: Any) -> Act:
    said = {"number": 1, "severity": Severity.ERROR, "by": "ada", "comment": "on it", "at": NOW}
    return Act(kind=kind, place=Place(1, step), **said | more)


def stands(alert: Alert, spans: list[Span], done: Act | None, **more: Any) -> tuple[Any, ...]:
    found = standing(alert, spans, done, **more)
    return found.alert.state, found.alert.regressed, found.by, found.comment


def test_without_a_word_it_stands_as_the_detectors_say() -> None:
    assert standing(FIRING, [span(100, 120)], None) == Standing(FIRING)


def test_an_acknowledged_alert_stays_so_while_it_lasts() -> None:
    later = replace(FIRING, last_step=500)
    assert stands(later, [span(100, 500)], act()) == ("acknowledged", False, "ada", "on it")


def test_an_alert_that_gets_worse_fires_in_spite_of_being_acknowledged() -> None:
    worse = replace(FIRING, severity=Severity.CRITICAL)
    assert stands(worse, [span(100, 121)], act()) == ("firing", False, None, None)


@pytest.mark.parametrize("state", ["pending", "resolved"])
def test_only_what_fires_is_acknowledged(state: Any) -> None:
    end = 150 if state == "resolved" else None
    assert stands(replace(FIRING, state=state), [span(100, 120, end)], act())[0] == state


def test_trouble_that_comes_back_is_not_acknowledged() -> None:
    assert stands(FIRING, [span(160, 160)], act())[0] == "firing"


def test_trouble_that_one_rank_always_saw_stays_acknowledged_when_the_first_no_longer_sees_it():
    overlapping = [span(100, 130, end=140), span(125, 300), span(139, 200, end=250)]
    assert stands(FIRING, overlapping, act())[0] == "acknowledged"
    apart = [span(100, 110, end=124), span(125, 300)]
    assert stands(FIRING, apart, act())[0] == "firing"


def test_a_later_attempt_is_later_whatever_its_steps() -> None:
    resumed = [span(100, 120, end=120), span(50, 60, attempt=2)]
    assert stands(FIRING, resumed, act())[0] == "firing"
    assert stands(FIRING, resumed, act("resolved")) == ("firing", True, None, None)


def test_what_somebody_resolved_is_over_at_the_step_it_had_reached() -> None:
    found = standing(FIRING, [span(100, 120)], act("resolved"))
    assert (found.alert.state, found.alert.resolved_step, found.by) == ("resolved", 120, "ada")


def test_what_was_resolved_and_is_seen_at_a_later_step_has_regressed() -> None:
    assert stands(FIRING, [span(100, 121)], act("resolved")) == ("firing", True, None, None)
    over = stands(RESOLVED, [span(100, 121, end=150)], act("resolved"))
    assert over == ("resolved", True, None, None)


def test_the_detectors_agreeing_that_it_is_over_changes_nothing() -> None:
    found = stands(RESOLVED, [span(100, 120, end=150)], act("resolved"))
    assert found == ("resolved", False, "ada", "on it")


def test_the_end_of_the_run_ends_what_is_open() -> None:
    spans = [span(100, 120)]
    over = ("resolved", False, ENDED_BY, ENDED)
    assert stands(FIRING, spans, None, ended=True) == over
    assert stands(FIRING, spans, act(), ended=True) == over
    assert stands(FIRING, spans, act("resolved"), ended=True)[2] == "ada"
    assert stands(replace(FIRING, state="pending"), spans, None, ended=True)[2] is None
    assert standing(FIRING, spans, None, ended=True).alert.resolved_step == 120


def test_an_act_is_placed_where_the_alert_has_been_seen_last() -> None:
    assert reached([span(100, 120), span(130, 90)]) == Place(1, 130)
    assert reached([span(100, 120), span(5, 9, attempt=2)]) == Place(2, 9)
