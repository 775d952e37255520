"""Workers die by ``kill -9`` while they tell; every event is told, twice at most, under one id."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.clock import utc_now
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.notice_tables import deliveries, outbox
from tests import alerting
from tests.listener import Listener
from tests.reliability.alert_worker import AlertWorker
from tests.reliability.counts import times
from tests.servers import poll

pytestmark = pytest.mark.sqlite_in_brief

EVENTS = times(48, 600)  # half of them begin something, half end it
KILLS = times(3, 30)
WORKERS = 2
DEADLINE_SECONDS = 120.0


@dataclass
class Team:
    """Workers on one database; one after the other is killed, and another takes its place."""

    database_url: str
    log: Path
    workers: list[AlertWorker] = field(default_factory=list)

    def grow(self) -> None:
        self.workers.append(AlertWorker.start(self.database_url, self.log))

    def lose_one(self) -> None:
        self.workers.pop(0).kill()
        self.grow()


@contextmanager
def working(database_url: str, log: Path) -> Iterator[Team]:
    team = Team(database_url, log)
    for _ in range(WORKERS):
        team.grow()
    try:
        yield team
    finally:
        for worker in team.workers:
            worker.kill()


@dataclass
class Story:
    """Runs that explode, and recover only after somebody was told that they exploded."""

    engine: Engine
    listener: Listener
    runs: set[str] = field(default_factory=set)
    recovered: set[str] = field(default_factory=set)

    def open_channel(self) -> None:
        """One: there a worker that dies leaves at most one message unsettled."""
        with for_writing(self.engine).begin() as connection:
            alerting.new_channel(connection, f"{self.listener.url}/ops")

    def explode(self, count: int) -> None:
        with for_writing(self.engine).begin() as connection:
            for _ in range(count):
                run_id = alerting.new_run(connection, now=utc_now())
                alerting.set_alert(connection, run_id)
                self.runs.add(str(run_id))

    def recover(self) -> None:
        """Whatever somebody was told of."""
        told = {one["run_id"] for one in list(self.listener.heard)} - self.recovered
        if not told:
            return
        with for_writing(self.engine).begin() as connection:
            for run in told:
                alerting.set_alert(connection, uuid.UUID(run), "resolved")
        self.recovered |= told

    def heard(self, kind: str) -> set[str]:
        return {one["run_id"] for one in list(self.listener.heard) if one["kind"] == kind}

    def grows_by(self, count: int) -> Callable[[], bool]:
        goal = len(self.listener.heard) + count
        return lambda: len(self.listener.heard) >= goal


@pytest.mark.timeout(1200)
def test_every_event_is_told_although_workers_die(
    engine: Engine, database_url: str, listener: Listener, tmp_path: Path
):
    story, chance = Story(engine, listener), random.Random(16)
    story.open_channel()
    with working(database_url, tmp_path / "workers.log") as team:
        for done in range(KILLS):
            story.explode((done + 1) * (EVENTS // 2) // KILLS - len(story.runs))
            poll(story.grows_by(chance.randint(1, 4)), "somebody is told", DEADLINE_SECONDS)
            story.recover()
            team.lose_one()

        def is_all_told() -> bool:
            story.recover()
            return story.heard("resolved") == story.runs

        poll(is_all_told, "every event is told", DEADLINE_SECONDS)
        poll(lambda: is_settled(engine), "everything is settled", DEADLINE_SECONDS)
    assert len(story.runs) == EVENTS // 2
    assert story.heard("firing") == story.runs
    check_ids(listener)


def is_settled(engine: Engine) -> bool:
    with engine.connect() as connection:
        states = set(connection.execute(sa.select(deliveries.c.state)).scalars())
        waiting = connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()
    return states <= {"sent", "superseded"} and waiting == 0


def check_ids(listener: Listener) -> None:
    """Each event has one id; no more came twice than workers died."""
    events = {(one["run_id"], one["kind"]) for one in listener.heard}
    ids = Counter(one["id"] for one in listener.heard)
    assert len(events) == len(ids) == EVENTS
    assert len({(one["id"], one["run_id"], one["kind"]) for one in listener.heard}) == EVENTS
    twice = sum(count - 1 for count in ids.values())
    print(f"{EVENTS} events, {KILLS} kills: 0 lost, {twice} told twice")
    assert twice <= KILLS
