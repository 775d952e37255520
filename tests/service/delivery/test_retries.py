import datetime as dt
import uuid

import pytest

from gradwatch_service.delivery.retries import ATTEMPTS, PAUSES_SECONDS, pause
from gradwatch_service.notify.channel import UndeliveredError

AWAY = UndeliveredError("away", permanent=False)


@pytest.mark.parametrize(("attempts", "seconds"), tuple(enumerate(PAUSES_SECONDS, start=1)))
def test_pauses_grow_and_differ_by_a_fifth_at_most(attempts: int, seconds: int):
    found = [pause(AWAY, attempts, uuid.UUID(int=number)) for number in range(200)]
    factors = [one.total_seconds() / seconds for one in found if one is not None]
    assert len(set(factors)) == 200
    assert 0.8 <= min(factors) < 0.85
    assert 1.15 < max(factors) <= 1.2


def test_the_same_message_waits_as_long_whoever_asks():
    key = uuid.uuid4()
    assert pause(AWAY, 3, key) == pause(AWAY, 3, key)


def test_after_the_tenth_attempt_it_is_given_up():
    assert ATTEMPTS == 10
    assert pause(AWAY, 9, uuid.uuid4()) is not None
    assert pause(AWAY, 10, uuid.uuid4()) is None


def test_what_would_fail_again_is_given_up_at_once():
    assert pause(UndeliveredError("no", permanent=True), 1, uuid.uuid4()) is None


def test_the_other_side_may_ask_for_a_pause_but_not_for_days():
    def asked(seconds: float) -> dt.timedelta | None:
        error = UndeliveredError("busy", permanent=False, retry_after_seconds=seconds)
        return pause(error, 1, uuid.uuid4())

    assert asked(7.0) == dt.timedelta(seconds=7)
    assert asked(10**9) == dt.timedelta(hours=12)
