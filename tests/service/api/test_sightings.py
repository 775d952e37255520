"""What is told of a run or an alert, when, and what somebody who comes back has missed."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field

from gradwatch_service.api.sightings import (
    CAUGHT_UP_MOST,
    QUIET_AT_ONCE,
    REMEMBERED,
    Sightings,
    cursor_of,
)
from gradwatch_service.store.pulse import Key, Look, Sight

START = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
BEAT = dt.timedelta(seconds=0.5)
RUN, ALERT = uuid.UUID(int=1), uuid.UUID(int=2)
ONE: Key = ("run", RUN)


def run(pushes: int, health: str = "ok", *, state: str = "running", project: str = "p") -> Sight:
    return Sight(project, RUN, state == "running", (state, health), (pushes,))


@dataclass
class Watch:
    """Sightings, and a clock that goes on with every look."""

    sightings: Sightings = field(default_factory=Sightings)
    now: dt.datetime = START
    gone: set[str] = field(default_factory=set)

    def look(
        self, sights: dict[Key, Sight], muted: dict[str, frozenset[uuid.UUID]] | None = None
    ) -> list[Key]:
        """What is told after this look."""
        self.now += BEAT
        self.sightings.begin(self.now)
        self.gone = self.sightings.note(Look(sights, muted or {}), self.now, self.now)
        due = self.sightings.due(self.now)
        self.sightings.told(due, self.now)
        return due

    def missed(self, since: dt.datetime, project: str | None = None) -> list[Key] | None:
        def wants(sight: Sight | None) -> bool:
            return sight is not None and project in {None, sight.project}

        return self.sightings.changed_since(cursor_of(since), project, wants)


def test_what_stands_at_the_first_look_is_no_news():
    watch = Watch()
    assert watch.look({ONE: run(1)}) == []
    assert watch.look({ONE: run(1)}) == []


def test_a_change_of_health_is_told_at_once_and_that_a_run_goes_on_once_a_second():
    watch = Watch()
    watch.look({ONE: run(0)})
    told = [bool(watch.look({ONE: run(pushes)})) for pushes in range(1, 9)]
    assert told == [True, False] * 4
    assert watch.look({ONE: run(9, "critical")}) == [ONE]
    assert watch.look({ONE: run(10, "ok")}) == [ONE]


def test_the_last_change_is_told_although_nothing_comes_after_it():
    watch = Watch()
    watch.look({ONE: run(0)})
    told = [bool(watch.look({ONE: run(pushes)})) for pushes in (1, 2, 2, 2)]
    assert told == [True, False, True, False]


def test_of_very_many_runs_each_gets_its_turn_and_news_goes_first():
    watch, many = Watch(), [uuid.UUID(int=number) for number in range(3 * QUIET_AT_ONCE)]
    told: list[Key] = []
    for pushes in range(4):
        told += watch.look({("run", one): run(pushes) for one in many})
    assert len(set(told)) == len(told) == len(many)
    news = watch.look({("run", one): run(9, "critical") for one in many})
    assert len(news) == len(many)


def test_an_alert_has_its_run_looked_at():
    watch = Watch()
    watch.look({})
    alert: Key = ("alert", ALERT)
    assert watch.look({alert: Sight("p", RUN, True, ("firing",), ())}) == [alert]
    assert ONE in watch.sightings.keys
    assert watch.look({alert: Sight("p", RUN, True, ("firing",), ()), ONE: run(1)}) == [ONE]


def test_a_silence_concerns_the_alerts_of_its_project():
    watch = Watch()
    of_p: Key = ("alert", ALERT)
    of_q: Key = ("alert", uuid.UUID(int=3))
    sights = {of_p: Sight("p", RUN, True, (), ()), of_q: Sight("q", RUN, True, (), ())}
    watch.look(sights)
    watch.look(sights)
    assert watch.look(sights, {"p": frozenset({RUN})}) == [of_p]
    assert watch.look(sights, {"p": frozenset({RUN})}) == []


def test_who_comes_back_hears_what_changed_since_and_no_more():
    watch = Watch()
    watch.look({ONE: run(0)})
    before = watch.now
    for pushes in range(10):
        watch.look({ONE: run(0), ("run", ALERT): run(pushes)})
    assert watch.missed(before) == [("run", ALERT)]
    for _ in range(10):
        watch.look({ONE: run(0), ("run", ALERT): run(9)})
    assert watch.missed(watch.now) == []


def test_an_id_waits_for_what_could_not_be_told_yet():
    watch, many = Watch(), [uuid.UUID(int=number) for number in range(2 * QUIET_AT_ONCE)]
    watch.look({("run", one): run(0) for one in many})
    looked_before = watch.now
    watch.look({("run", one): run(1) for one in many})
    watch.now += BEAT
    assert watch.sightings.told([], watch.now) == cursor_of(looked_before)


def test_who_comes_back_too_late_or_from_nowhere_is_to_read_anew():
    watch = Watch()
    watch.look({ONE: run(0)})
    assert watch.missed(START - BEAT) is None
    assert watch.missed(watch.now + dt.timedelta(days=1)) is None
    many: dict[Key, Sight] = {
        ("run", uuid.UUID(int=number)): run(1) for number in range(CAUGHT_UP_MOST + 1)
    }
    watch.look(many)
    assert watch.missed(watch.now) is None


def test_what_others_missed_does_not_count():
    watch = Watch()
    watch.look({})
    sights: dict[Key, Sight] = {
        ("run", uuid.UUID(int=number)): run(1, project="loud")
        for number in range(100, 101 + CAUGHT_UP_MOST)
    }
    watch.look({ONE: run(1, project="calm"), **sights})
    assert watch.missed(watch.now, "calm") == [ONE]
    assert watch.missed(watch.now, "loud") is None


def test_what_is_deleted_is_known_to_its_project_only():
    watch = Watch()
    watch.look({ONE: run(0, project="q")})
    before = watch.now
    watch.look({})
    assert watch.gone == {"q"}
    assert watch.missed(before, "q") is None
    assert watch.missed(before) is None
    assert watch.missed(before, "p") == []


def test_what_is_over_is_forgotten_after_a_while_and_a_long_pause_begins_anew():
    watch = Watch()
    watch.look({ONE: run(0)})
    over = run(0, state="finished")
    assert watch.look({ONE: over}) == [ONE]
    watch.now += REMEMBERED - BEAT
    watch.look({ONE: over})
    assert watch.sightings.keys == [ONE]
    watch.look({ONE: over})
    assert watch.sightings.keys == []
    before = watch.now
    watch.now += 2 * REMEMBERED
    watch.look({})
    assert watch.missed(before) is None
