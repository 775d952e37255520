from __future__ import annotations

from gradwatch.config import Config
from gradwatch.pause import Backoff, Patience


def longest(backoff: Backoff, *, nobody_listens: bool) -> float:
    return max(backoff.next(nobody_listens=nobody_listens).seconds for _ in range(200))


def test_pauses_grow_to_a_minute_but_only_to_seconds_where_nobody_listens() -> None:
    assert 50.0 < longest(Backoff(Config()), nobody_listens=False) <= 60.0
    assert 3.0 < longest(Backoff(Config()), nobody_listens=True) <= 4.0


def test_a_row_of_failures_ends_with_an_answer() -> None:
    backoff = Backoff(Config())
    backoff.reset()
    assert (backoff.has_answered, backoff.recovered, backoff.in_trouble) == (True, False, False)
    backoff.next()
    assert backoff.in_trouble
    backoff.reset()
    assert (backoff.recovered, backoff.in_trouble) == (True, False)
    assert backoff.next().seconds <= 0.5


def test_waiting_for_a_person_is_trouble_too() -> None:
    backoff = Backoff(Config())
    assert backoff.hold().patience is Patience.ORDERED
    assert backoff.in_trouble
    backoff.reset()
    assert backoff.recovered


def test_a_pause_that_was_asked_for_is_at_least_as_long() -> None:
    backoff = Backoff(Config())
    told = backoff.told(30.0)
    assert (told.patience, 30.0 <= told.seconds <= 33.0) == (Patience.ORDERED, True)
    assert backoff.told(None).patience is Patience.BACKOFF
