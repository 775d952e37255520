"""What one who listens is sent, and that no more waits for them than may."""

from __future__ import annotations

import uuid

from gradwatch_service.api.listener import RESET, WAITING_BYTES_MAX, Listener
from gradwatch_service.store.pulse import Key, Sight

RUN, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
ONE: Key = ("run", RUN)
TWO: Key = ("run", OTHER)


def sight(project: str = "p", run_id: uuid.UUID = RUN) -> Sight:
    return Sight(project, run_id, True, (), ())


def test_only_what_was_asked_for_is_wanted():
    assert Listener(None, None, None).wants(sight())
    assert not Listener("q", None, None).wants(sight("p"))
    assert not Listener("p", RUN, None).wants(sight("p", OTHER))
    assert Listener("p", RUN, None).wants(sight("p", RUN))
    assert not Listener(None, None, None).wants(None)


def test_the_newest_of_each_waits_and_the_last_one_sent_has_the_new_id():
    listener = Listener(None, None, 5)
    listener.tell([(ONE, b"a\n\n"), (TWO, b"b\n\n")], 6)
    listener.tell([(ONE, b"c\n\n")], 7)
    assert listener.take() == b"id: 5\nb\n\nid: 7\nc\n\n"
    assert listener.take() == b""
    assert listener.mark() == b"id: 7\n"


def test_a_reset_takes_the_place_of_what_waits():
    listener = Listener(None, None, None)
    listener.tell([(ONE, b"a\n\n")], 6)
    listener.reset()
    listener.tell([], 7)
    assert listener.take() == b"id: 7\n" + RESET


def test_who_lets_too_much_wait_is_hung_up_on_and_nothing_is_kept():
    listener = Listener(None, None, None)
    half = b"x" * (WAITING_BYTES_MAX // 2)
    listener.tell([(ONE, half)], 1)
    listener.tell([(ONE, half), (TWO, half)], 2)
    assert not listener.is_closed
    listener.tell([(TWO, half + b"x")], 3)
    assert listener.is_closed
    assert listener.take() == b""
