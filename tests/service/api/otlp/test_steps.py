"""Data points become steps: what is refused on the way is counted."""

from __future__ import annotations

from collections import Counter

from gradwatch_service.api.otlp.reading import Point
from gradwatch_service.api.otlp.steps import batches
from gradwatch_service.domain import is_missing

AFTER_ALL_TIME = 1e15


def test_values_of_a_step_that_is_refused_are_counted() -> None:
    good = Point("loss", 1.0, 5.0, None, 0)
    bad = [
        Point("loss", 1.0, AFTER_ALL_TIME, None, 1),
        Point("norm", 1.0, AFTER_ALL_TIME, "fc", 1),
    ]
    refused: Counter[str] = Counter()
    (batch,) = batches([good, *bad], refused)
    assert batch.steps.frame.steps.tolist() == [0]
    assert refused == {"a time must lie between 1970 and 9999": 2}
    refused.clear()
    assert [*batches(bad, refused)] == []
    assert refused.total() == 2


def test_a_time_belongs_to_one_counted_step() -> None:
    given = [("loss", 1.0), ("loss", 2.0), ("norm", 2.0), ("loss", 2.0), ("lr", 1.5), ("lr", 3.0)]
    points = [Point(name, 0.5, time, None, None) for name, time in given]
    (batch,) = batches(points, Counter())
    assert batch.counted == 2
    frame = batch.steps.frame
    assert frame.time.tolist() == [1.0, 2.0]
    present = {name: (~is_missing(column)).tolist() for name, column in frame.scalars.items()}
    assert present == {"loss": [True, True], "norm": [False, True], "lr": [True, True]}
