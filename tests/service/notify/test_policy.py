import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch_service.domain import AlertState, Severity
from gradwatch_service.notify.policy import (
    CLOSES,
    Arrival,
    Decision,
    Knowledge,
    Standing,
    Timing,
    Told,
    closed,
    decide,
    knowledge_after,
)

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
TIMING = Timing()
A, B, C = (uuid.UUID(int=number) for number in range(3))


def later(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def alert(
    key: uuid.UUID = A, state: AlertState = "firing", severity: Severity = Severity.ERROR, **more
) -> Standing:
    return Standing(key, more.pop("rule", "depth-explosion"), state, severity, True, **more)


def told(
    *keys: uuid.UUID, severity: Severity = Severity.ERROR, arrival: Arrival = "told"
) -> Knowledge:
    """All these were told as firing at NOW."""
    return Knowledge(dict.fromkeys(keys, Told("firing", severity, True, arrival)), NOW)


def over(*keys: uuid.UUID) -> Knowledge:
    """All these were told to be over at NOW."""
    return Knowledge(dict.fromkeys(keys, Told("resolved", Severity.ERROR, True)), NOW)


def reason(known: Knowledge, alerts: Sequence[Standing], seconds: float = 60.0, **options) -> str:
    """Why, where the news, if any, is old enough for a group to have gathered."""
    known = replace(known, news_at=later(seconds - 5))
    return decide(known, alerts, later(seconds), TIMING, **options).reason


def test_the_first_news_waits_for_its_group_and_then_leaves():
    first = decide(Knowledge(), [alert()], NOW, TIMING)
    assert first == Decision("waiting-for-group", later(5), NOW)
    known = Knowledge(news_at=first.news_at)
    assert decide(known, [alert()], later(4.9), TIMING).look_at == later(5)
    found = decide(known, [alert(), alert(B)], later(5), TIMING)
    assert (found.reason, found.sends) == ("firing-new", "firing")


@pytest.mark.parametrize("state", ["pending", "resolved", "acknowledged"])
def test_only_what_fires_and_nobody_has_taken_on_is_news(state: AlertState):
    assert decide(Knowledge(), [alert(state=state)], NOW, TIMING).sends is None


def test_what_pages_nobody_makes_no_message():
    assert reason(Knowledge(), [replace(alert(), pages=False)]) == "not-paging"
    assert reason(Knowledge(), []) == "nothing-new"


def test_what_pages_nobody_is_not_waited_for():
    companion = Told("firing", Severity.INFO, pages=False)
    known = Knowledge({**told(A).told, B: companion}, NOW)
    alerts = [alert(state="resolved"), replace(alert(B), pages=False)]
    assert reason(known, alerts) == "resolved"


def test_what_came_along_and_then_pages_is_news():
    known = Knowledge({A: Told("firing", Severity.ERROR, pages=False)}, NOW)
    assert reason(known, [alert()], 300) == "firing-new"


def test_more_of_the_same_gravity_waits_for_the_interval():
    known = replace(told(A), news_at=later(10))
    found = decide(known, [alert(), alert(B)], later(20), TIMING)
    assert found == Decision("waiting-for-interval", later(300), later(10))
    assert decide(known, [alert(), alert(B)], later(300), TIMING).reason == "firing-new"


def test_worse_waits_for_its_group_alone():
    known = told(A, severity=Severity.WARNING)
    worse = [alert(severity=Severity.CRITICAL)]
    assert decide(known, worse, later(10), TIMING).look_at == later(15)
    assert reason(known, worse) == "worse"
    assert reason(known, [alert(severity=Severity.WARNING), alert(B)]) == "worse"


def test_less_grave_than_before_is_no_news():
    assert reason(told(A), [alert(severity=Severity.WARNING)]) == "waiting-for-repeat"


def test_the_end_of_all_that_was_told_is_told_after_the_group_wait():
    ended = [alert(state="resolved")]
    assert decide(told(A), ended, later(9), TIMING) == Decision(
        "waiting-for-group", later(14), later(9)
    )
    known = replace(told(A), news_at=later(9))
    assert decide(known, ended, later(14), TIMING).sends == "resolved"


def test_a_part_that_is_over_waits_for_the_others():
    assert reason(told(A, B), [alert(state="resolved"), alert(B)]) == "partly-resolved"


def test_who_does_not_want_resolutions_gets_none():
    ended = [alert(state="resolved")]
    assert reason(told(A), ended, send_resolved=False) == "resolve-not-wanted"


@pytest.mark.parametrize("arrival", ["unsent", "lost"])
def test_the_end_of_what_never_arrived_is_not_told(arrival: Arrival):
    known = told(A, arrival=arrival)
    assert reason(known, [alert(state="resolved")]) == "suppressed-resolve"


def test_the_end_of_what_may_have_arrived_is_told():
    known = told(A, arrival="maybe")
    assert reason(known, [alert(state="resolved")]) == "resolved"


def test_while_something_given_up_fires_nothing_is_said_to_be_over():
    known = Knowledge({**told(A).told, **told(B, arrival="lost").told}, NOW)
    assert reason(known, [alert(state="resolved"), alert(B)]) == "partly-resolved"


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [
        ("unsent", "firing-new"),
        ("maybe", "firing-new"),
        ("lost", "waiting-for-repeat"),
        ("told", "waiting-for-repeat"),
    ],
)
def test_what_is_not_known_to_have_arrived_is_news_until_it_is_given_up(
    arrival: Arrival, expected: str
):
    assert reason(replace(told(A, arrival=arrival), told_at=None), [alert()]) == expected


def test_what_flaps_waits_for_the_interval():
    assert reason(over(A), [alert()], 60) == "waiting-for-interval"
    assert reason(over(A), [alert()], 300) == "firing-new"


def test_something_else_after_all_was_well_does_not_wait_for_it():
    assert reason(over(A), [alert(B)], 60) == "firing-new"


def test_what_still_fires_is_repeated():
    waiting = decide(told(A), [alert()], later(60), TIMING)
    assert waiting == Decision("waiting-for-repeat", later(4 * 3600))
    assert reason(told(A), [alert()], 4 * 3600) == "repeat"


def test_what_somebody_has_taken_on_is_not_repeated():
    taken = [alert(state="acknowledged")]
    assert decide(told(A), taken, later(10**6), TIMING) == Decision("acknowledged")
    assert reason(told(A), [alert(state="resolved")]) == "resolved"


def test_a_silence_keeps_news_and_repeats_quiet_and_is_looked_at_again():
    silenced = [alert(silenced_until=later(10**6))]
    assert decide(Knowledge(), silenced, NOW, TIMING) == Decision("all-silenced", later(300))
    assert reason(told(A), silenced, 4 * 3600) == "all-silenced"
    ends_soon = [alert(silenced_until=later(30))]
    assert decide(Knowledge(), ends_soon, NOW, TIMING).look_at == later(30)


def test_what_was_told_before_a_silence_is_told_to_be_over():
    ended = [alert(state="resolved", silenced_until=later(10**6))]
    assert reason(told(A), ended) == "resolved"


@pytest.mark.parametrize("state", ["firing", "acknowledged"])
def test_a_spike_says_nothing_new_beside_what_is_not_finite(state: AlertState):
    both = [alert(rule="non-finite", state=state), alert(B, rule="gradient-spike")]
    assert reason(told(A), both) in {"waiting-for-repeat", "acknowledged"}
    assert B not in knowledge_after("firing", told(A), both)
    only_spike = [replace(both[0], state="resolved"), both[1]]
    assert reason(told(A), only_spike, 300) == "firing-new"


def test_a_run_of_which_all_is_inhibited_keeps_quiet():
    graver = replace(alert(rule="non-finite"), pages=False)
    assert reason(Knowledge(), [graver, alert(B, rule="gradient-spike")]) == "inhibited"


def test_after_a_message_the_channel_knows_what_fires_and_what_is_over():
    alerts = [alert(A, "resolved"), alert(B), alert(C, silenced_until=later(9))]
    after = knowledge_after("firing", told(A), alerts)
    assert {key: one.state for key, one in after.items()} == {A: "resolved", B: "firing"}
    assert closed(told(A, B), alerts)[B] == told(B).told[B]


def test_an_end_does_not_speak_of_what_somebody_has_taken_on():
    alerts = [alert(A, "resolved"), alert(B, "acknowledged")]
    assert knowledge_after("resolved", told(A), alerts).keys() == {A}


@dataclass
class Listener:
    """A channel of which every message arrives at once."""

    known: Knowledge = field(default_factory=Knowledge)
    sent: tuple[tuple[dt.datetime, str, frozenset[tuple[uuid.UUID, Severity]]], ...] = ()

    def hear(self, alerts: Sequence[Standing], now: dt.datetime) -> Decision:
        found = decide(self.known, alerts, now, TIMING)
        if found.sends:
            after = knowledge_after(found.sends, self.known, alerts)
            firing = frozenset((k, t.severity) for k, t in after.items() if t.state == "firing")
            self.sent = (*self.sent, (now, found.sends, firing))
            self.known = Knowledge(after, now)
        elif found.reason in CLOSES:
            self.known = replace(self.known, told=closed(self.known, alerts))
        else:
            self.known = replace(self.known, news_at=found.news_at)
        return found


STATES: tuple[AlertState, ...] = ("pending", "firing", "acknowledged", "resolved")
standings = st.tuples(
    *(
        st.builds(
            Standing,
            st.just(key),
            st.just(rule),
            st.sampled_from(STATES),
            st.sampled_from(Severity),
            st.booleans(),
            st.none(),
        )
        for key, rule in ((A, "non-finite"), (B, "gradient-spike"), (C, "depth-explosion"))
    )
)
histories = st.lists(st.tuples(standings, st.floats(0.0, 1000.0)), min_size=1, max_size=12)


@settings(max_examples=300)
@given(histories)
def test_no_history_loses_the_last_state(history):
    listener, now = Listener(), NOW
    for alerts, pause in history:
        listener.hear(alerts, now)
        now += dt.timedelta(seconds=pause)
    for _ in range(4):  # look again when it says so
        found = listener.hear(alerts, now)
        now = found.look_at or now
    firing = {key for key, one in listener.known.told.items() if one.state == "firing"}
    open_now = {one.alert_id for one in alerts if one.state in {"firing", "acknowledged"}}
    quiet = {B} if A in open_now else set()
    pages = {one.alert_id for one in alerts if one.pages and one.state == "firing"} - quiet
    assert pages <= firing
    told_pages = {key for key in firing if listener.known.told[key].pages}
    assert not told_pages or told_pages & open_now


@settings(max_examples=300)
@given(histories)
def test_no_history_says_the_same_twice_within_the_repeat(history):
    listener, now = Listener(), NOW
    for alerts, pause in history:
        listener.hear(alerts, now)
        now += dt.timedelta(seconds=pause)
    for (at, kind, firing), (at_next, kind_next, firing_next) in zip(
        listener.sent, listener.sent[1:], strict=False
    ):
        same = (kind, firing) == (kind_next, firing_next)
        assert not same or at_next - at >= TIMING.repeat
        if kind == "resolved":
            assert kind_next == "firing"
