import datetime as dt

import pytest

from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.outgoing import Answer
from gradwatch_service.notify.verdict import require_taken, retry_after_seconds

NOW = dt.datetime(2026, 11, 27, 13, 0, tzinfo=dt.UTC)


def verdict(status: int, **headers: str) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as caught:
        require_taken(Answer(status, headers, b""))
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_taken(status: int) -> None:
    require_taken(Answer(status, {}, b""))


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 413, 422])
def test_what_would_fail_again_is_permanent(status: int) -> None:
    assert verdict(status).permanent


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_passes_is_not(status: int) -> None:
    assert not verdict(status).permanent


def test_a_receiver_can_say_when_to_come_back() -> None:
    assert verdict(429, **{"retry-after": "17"}).retry_after_seconds == 17.0


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("0", 0.0),
        ("99999999", 86_400.0),
        ("Fri, 27 Nov 2026 13:01:00 GMT", 60.0),
        ("Fri, 27 Nov 2020 13:01:00 GMT", 0.0),
        ("Fri, 27 Nov 2026 13:01:00", None),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(asked: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": asked}, NOW) == seconds
