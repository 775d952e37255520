import pytest

from gradwatch_service.api.access.quota import Meter, Rates
from gradwatch_service.errors import TooManyRequests

RATES = Rates(requests=50.0, bytes=4 * 2**20, burst_seconds=4.0)


def refused(meter: Meter, count: int, now: float) -> float:
    with pytest.raises(TooManyRequests) as caught:
        meter.admit(count, now)
    return caught.value.retry_after_seconds or 0.0


def test_two_hundred_requests_may_come_at_once_and_fifty_a_second_after_them():
    meter = Meter(RATES, now=0.0)
    for _ in range(200):
        meter.admit(0, 0.0)
    refused(meter, 0, 0.0)
    for tenth in range(1, 101):
        for _ in range(5):
            meter.admit(0, tenth / 10 + 1e-6)
        refused(meter, 0, tenth / 10 + 1e-6)


def test_bytes_count_before_they_come_and_those_that_nobody_announced_afterwards():
    meter = Meter(RATES, now=0.0)
    for _ in range(3):
        meter.admit(4 * 2**20, 0.0)
    meter.charge(4 * 2**20)
    assert refused(meter, 2**20, 0.0) >= 0.25
    meter.admit(2**20, 0.2500001)


def test_who_is_refused_is_told_when_to_come_again_and_not_all_at_once():
    meter = Meter(RATES, now=0.0)
    meter.charge(24 * 2**20)
    told = {refused(meter, 2**20, 0.0) for _ in range(20)}
    assert len(told) > 1
    assert min(told) >= 2.25


def test_a_refused_request_uses_nothing_up():
    meter = Meter(RATES, now=0.0)
    meter.charge(16 * 2**20)
    for _ in range(500):
        refused(meter, 2**20, 0.0)
    meter.admit(2**20, 0.2500001)


def test_a_long_rest_saves_up_no_more_than_one_burst():
    meter = Meter(RATES, now=0.0)
    for _ in range(200):
        meter.admit(0, 1e6)
    refused(meter, 0, 1e6)


def test_a_body_larger_than_a_whole_burst_is_let_in_when_nothing_was_sent_for_a_while():
    small = Rates(requests=1000.0, bytes=4 * 2**20, burst_seconds=0.2)
    meter = Meter(small, now=0.0)
    meter.admit(4 * 2**20, 0.0)
    assert refused(meter, 1, 0.0) >= 0.8
    meter.admit(4 * 2**20, 1.0000001)
