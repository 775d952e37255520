import time

import pytest

from gradwatch_service.api.pace import Pace
from gradwatch_service.errors import TooManyRequests


def test_so_many_and_no_more() -> None:
    pace = Pace(2, 60.0)
    pace.take("a")
    pace.take("a")
    pace.take("b")
    with pytest.raises(TooManyRequests) as caught:
        pace.take("a")
    assert 50 < (caught.value.retry_after_seconds or 0) <= 60


def test_what_lies_back_is_forgotten() -> None:
    pace = Pace(1, 0.01)
    pace.take("a")
    time.sleep(0.02)
    pace.take("a")
