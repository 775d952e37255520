"""A silent run: one alert, written once whoever sees it, over with the next sign of life."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine

from gradwatch_service.errors import NotFound
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import runs, tables
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.silence import Silence, silences
from gradwatch_service.store.spans import effective_until
from tests.databases import POSTGRES
from tests.service.ingest.rig import (
    NOW,
    answer,
    create_run,
    events_push,
    rows,
    serving,
    simple_push,
    verdict,
)

CAUSE = "stalled-job"
STREAM = "service/silence"


def run_of(engine: Engine, run_id: uuid.UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(runs.get_run(connection, run_id))


def alert_of(engine: Engine, run_id: uuid.UUID) -> dict[str, Any]:
    return dict(verdict(engine, run_id)["alerts"][CAUSE])


def story(engine: Engine, run_id: uuid.UUID) -> list[str]:
    found = rows(engine, tables.alert_events, run_id, "number", "kind", "writer")
    return [kind for _, kind, writer in found if writer == STREAM]


def after(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def sweep(engine: Engine, writer: Writer, seconds: float) -> int:
    """What the worker does so many seconds after NOW; how much it found."""
    with engine.connect() as connection:
        found = silences(connection, after(seconds))
    for silence in found:
        answer(writer, silence)
    return len(found)


@pytest.fixture
def silent(engine: Engine) -> uuid.UUID:
    """A run that pushed ten times at NOW, and never since: it may be silent for 30 s."""
    run_id = create_run(engine)
    with serving(engine) as writer:
        for seq in range(10):
            answer(writer, simple_push(run_id, seq))
    return run_id


def test_silence_is_an_alert_that_worsens_and_is_said_once(
    engine: Engine, writer: Writer, silent: uuid.UUID
) -> None:
    assert [sweep(engine, writer, at) for at in (29, 31, 40, 89, 91, 200)] == [0, 1, 0, 0, 1, 0]
    assert story(engine, silent) == ["firing", "worsened"]
    alert = alert_of(engine, silent)
    assert (alert["rule"], alert["severity"], alert["actionable"]) == (
        "stale-run",
        "critical",
        True,
    )
    assert (alert["opened_step"], alert["writers"]) == (9, [STREAM])
    assert alert["advice"]
    run = run_of(engine, silent)
    assert (run["state"], run["health"], run["open_alerts"]) == ("stale", "critical", 1)
    assert (run["last_step"], run["last_seen_at"]) == (9, "2026-11-23T12:00:00.000Z")


def test_the_next_push_ends_it_and_the_next_silence_is_a_regression(
    engine: Engine, silent: uuid.UUID
) -> None:
    with serving(engine) as writer:
        sweep(engine, writer, 31)
    with serving(engine, clock=lambda: after(40)) as writer:
        receipt = answer(writer, simple_push(silent, 10))
    assert (receipt.health, [one["state"] for one in receipt.alerts]) == ("ok", ["resolved"])
    run = run_of(engine, silent)
    assert (run["state"], run["health"], run["open_alerts"]) == ("running", "ok", 0)
    with serving(engine) as writer:
        assert [sweep(engine, writer, 40 + at) for at in (119, 121)] == [0, 1]  # 3 times 40 s
    assert story(engine, silent) == ["firing", "resolved", "firing"]
    assert alert_of(engine, silent)["regressed"] is True


def test_events_are_signs_of_life_too(engine: Engine, writer: Writer, silent: uuid.UUID) -> None:
    sweep(engine, writer, 31)
    receipt = answer(writer, events_push(silent, {"kind": "note"}))
    assert [one["state"] for one in receipt.alerts] == ["resolved"]


def test_another_launch_ends_it_with_its_first_push(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine, launch_id="first")
    sweep(engine, writer, 1801)
    assert alert_of(engine, run_id)["state"] == "firing"
    create_run(engine, id=run_id, launch_id="second")
    answer(writer, simple_push(run_id, 0))
    assert alert_of(engine, run_id)["state"] == "resolved"
    assert (run_of(engine, run_id)["health"], story(engine, run_id)) == ("ok", ["firing"])


def test_a_run_that_finished_is_silent_rightly(
    engine: Engine, writer: Writer, silent: uuid.UUID
) -> None:
    sweep(engine, writer, 31)
    writer.run(lambda c: runs.finish_run(c, silent, "finished", None, after(50))).result(60)
    assert sweep(engine, writer, 51) == 1
    assert sweep(engine, writer, 52) == 0
    assert alert_of(engine, silent)["state"] == "resolved"
    run = run_of(engine, silent)
    assert (run["state"], run["health"], run["open_alerts"]) == ("finished", "ok", 0)


@pytest.mark.parametrize("group", ["before", "after"])
def test_what_the_worker_saw_before_a_push_is_no_news_after_it(
    engine: Engine, silent: uuid.UUID, group: str
) -> None:
    with engine.connect() as connection:
        (seen,) = silences(connection, after(31))
    writer = Writer(engine, clock=lambda: after(32))
    work = [simple_push(silent, 10), seen]
    pending = [writer.submit(one) for one in (work if group == "before" else work[::-1])]
    writer.start()
    assert [one.result(60).health for one in pending] == ["ok", "ok"]
    writer.stop()
    assert run_of(engine, silent)["state"] == "running"
    assert story(engine, silent) == ([] if group == "before" else ["firing", "resolved"])


def test_the_log_remembers_and_the_stream_of_the_job_does_not_notice(
    engine: Engine, writer: Writer, silent: uuid.UUID
) -> None:
    sweep(engine, writer, 31)
    found = rows(engine, tables.writers, silent, "writer", "next_seq", "first_step", "ordinal")
    assert found == [(STREAM, 1, None, 1), ("w0", 10, 0, 10)]
    with engine.connect() as connection:
        assert effective_until(connection, silent)[1] > 9


def test_a_silent_run_that_never_reported_hides_no_points(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine, launch_id="first")
    answer(writer, simple_push(run_id, 0))
    create_run(engine, id=run_id, launch_id="second")
    sweep(engine, writer, 1801)
    assert alert_of(engine, run_id)["state"] == "firing"
    with engine.connect() as connection:
        assert effective_until(connection, run_id)[1] > 10**6


def test_silence_of_a_run_that_is_gone_is_not_found(writer: Writer) -> None:
    with pytest.raises(NotFound):
        answer(writer, Silence(uuid.uuid4(), 0, NOW, 31.0, 30.0))


@pytest.fixture
def processes(engine: Engine, database_url: str) -> Iterator[list[Writer]]:
    other = make_engine(database_url)
    with ExitStack() as stack:
        stack.callback(other.dispose)
        yield [stack.enter_context(serving(engine)), stack.enter_context(serving(other))]


@pytest.mark.parametrize("backend", [POSTGRES])
def test_two_workers_that_see_it_at_once_say_it_once(
    engine: Engine, processes: list[Writer], silent: uuid.UUID
) -> None:
    with engine.connect() as connection:
        (seen,) = silences(connection, after(31))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: answer(processes[n % 2], seen), range(16)))
    assert story(engine, silent) == ["firing"]


@pytest.mark.parametrize("backend", [POSTGRES])
def test_a_push_at_the_same_moment_by_another_process_leaves_no_alert_open(
    engine: Engine, processes: list[Writer], silent: uuid.UUID
) -> None:
    for seq in range(10, 40):
        with engine.connect() as connection:
            found = silences(connection, after(31))
        pending = [processes[0].submit(one) for one in found]
        pending.append(processes[1].submit(simple_push(silent, seq)))
        assert {one.result(60).status for one in pending} <= {"stored", "duplicate"}
        assert alert_state(engine, silent) != "firing"
        assert run_of(engine, silent)["state"] == "running"


def alert_state(engine: Engine, run_id: uuid.UUID) -> str | None:
    found = verdict(engine, run_id)["alerts"].get(CAUSE)
    return None if found is None else str(found["state"])
