from contextlib import suppress
from time import perf_counter

from gradwatch_service.ingest.load import Load


def work(load: Load, seconds: float) -> None:
    with load.measured():
        ends = perf_counter() + seconds
        while perf_counter() < ends:
            pass


def test_who_has_done_nothing_is_idle():
    assert Load().share == 0


def test_who_only_works_is_ever_busier_and_never_more_than_busy():
    load, seen = Load(), [0.0]
    for _ in range(5):
        work(load, 0.02)
        seen.append(load.share)
    assert seen == sorted(seen)
    assert 0 < seen[1] < seen[-1] <= 1


def test_what_was_done_counts_less_and_less_and_an_error_is_work_too():
    load = Load()
    with suppress(ZeroDivisionError), load.measured():
        work(Load(), 0.02)
        1 / 0  # noqa: B018
    before = load.share
    work(Load(), 0.02)
    assert 0 < load.share < before
