"""However reports are cut, grouped, interleaved and interrupted: the same alerts, bit for bit."""

from __future__ import annotations

from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gradwatch_service.domain import Frame
from tests.reliability.counts import times
from tests.service.ingest.rig import create_run
from tests.service.ingest.shuffling import anonymous, ingest, shuffled
from tests.service.ingest.training import REPORTS, cut, exploding

WRITERS = ("rank0", "rank1")
_on_a_shared_database = settings(
    max_examples=times(10, 20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@cache
def story(writer: str) -> Frame:
    return exploding(WRITERS.index(writer))


@_on_a_shared_database
@given(
    ends=st.lists(st.lists(st.integers(1, REPORTS - 1), max_size=20), min_size=2, max_size=2),
    group=st.integers(1, 40),
    lives=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_cutting_grouping_order_and_restarts_change_nothing(
    engine: Engine, ends: list[list[int]], group: int, lives: int, seed: int
) -> None:
    plain_run, run_id = create_run(engine), create_run(engine)
    ingest(engine, [push for w in WRITERS for push in cut(plain_run, story(w), [], w)], 1, 1)
    pushes = {w: cut(run_id, story(w), cuts, w) for w, cuts in zip(WRITERS, ends, strict=True)}
    ingest(engine, shuffled(pushes, seed), group, lives)
    expected = anonymous(engine, plain_run)
    assert [body["state"] for body in expected["alerts"].values()].count("firing") >= 1
    assert anonymous(engine, run_id) == expected
