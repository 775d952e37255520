"""Acknowledged, resolved and ended alerts: the same through batches, restarts, ranks, replicas."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, select

from gradwatch_service.diagnose.acts import ENDED, ENDED_BY, Act, ActKind, Place
from gradwatch_service.domain import AlertPart, Severity, alert_id
from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.ingest.pushes import FramePush, Judgement, Word
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import acts, alerts, parts, runs, tables, transitions
from gradwatch_service.store.alerts import AlertFilters
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.notice_tables import alert_acts, outbox
from gradwatch_service.store.silence import Silence, silences
from tests.databases import POSTGRES
from tests.service.diagnose.streams import Stream, healthy
from tests.service.ingest.rig import (
    DEADLINE,
    NOW,
    answer,
    create_run,
    frame_push,
    rows,
    serving,
    simple_push,
)
from tests.service.ingest.shuffling import anonymous, ingest, shuffled
from tests.service.ingest.training import REPORTS, cut, exploding

WRITERS = ("rank0", "rank1")
SEEN = 100  # by then the explosion has been found, and the NaN has not
STORIES = {writer: exploding(seed) for seed, writer in enumerate(WRITERS)}


def alerts_of(engine: Engine, run_id: uuid.UUID) -> Mapping[str, Mapping[str, Any]]:
    with engine.connect() as connection:
        found = alerts.of_runs(connection, [run_id]).get(run_id, {})
    return {cause: kept.body for cause, kept in found.items()}


def states(engine: Engine, run_id: uuid.UUID) -> dict[str, str]:
    return {cause: str(body["state"]) for cause, body in alerts_of(engine, run_id).items()}


def say(writer: Writer, run_id: uuid.UUID, cause: str, kind: ActKind, by: str = "ada") -> None:
    word = Word(run_id, alert_id(run_id, cause), kind, by, "seen")
    writer.submit(Judgement(run_id)).result(DEADLINE)
    writer.submit(word).result(DEADLINE)


def firing(engine: Engine, run_id: uuid.UUID) -> list[str]:
    return sorted(cause for cause, state in states(engine, run_id).items() if state == "firing")


@pytest.fixture
def burning(engine: Engine, writer: Writer, run_id: uuid.UUID) -> str:
    """The cause that fires in a run of one writer, of which 100 reports are stored."""
    answer(writer, halves(run_id)[0])
    return firing(engine, run_id)[0]


def halves(run_id: uuid.UUID, at: int = SEEN, writer: str = "rank0") -> list[FramePush]:
    return cut(run_id, STORIES[writer], [at], writer)


def test_an_acknowledged_alert_says_by_whom_and_keeps_its_advice(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    before = alerts_of(engine, run_id)[burning]
    say(writer, run_id, burning, "acknowledged")
    after = alerts_of(engine, run_id)[burning]
    assert (after["state"], after["acknowledged_by"], after["comment"]) == (
        "acknowledged",
        "ada",
        "seen",
    )
    assert after["acknowledged_at"] == "2026-11-23T12:00:00.000Z"
    assert after["advice"] == before["advice"] != []
    ((health, count),) = rows(engine, tables.runs, run_id, "health", "open_alerts")
    assert (health, count) == ("critical", len(firing(engine, run_id)) + 1)


def test_an_acknowledged_alert_fires_when_it_gets_worse(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    first, *rest = cut(run_id, STORIES["rank0"], [82, 84], "rank0")
    answer(writer, first)
    (cause,) = firing(engine, run_id)
    say(writer, run_id, cause, "acknowledged")
    answer(writer, rest[0])
    assert states(engine, run_id)[cause] == "acknowledged"
    answer(writer, rest[1])
    body = alerts_of(engine, run_id)[cause]
    assert (body["state"], body["severity"], body["acknowledged_by"]) == (
        "firing",
        "critical",
        None,
    )


def test_a_resolved_alert_that_shows_again_at_a_later_step_has_regressed(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    say(writer, run_id, burning, "resolved")
    body = alerts_of(engine, run_id)[burning]
    assert (body["state"], body["resolved_by"], body["regressed"]) == ("resolved", "ada", False)
    assert body["resolved_step"] == body["last_step"]
    answer(writer, halves(run_id)[1])
    body = alerts_of(engine, run_id)[burning]
    assert (body["state"], body["resolved_by"], body["regressed"]) == ("firing", None, True)


def test_saying_it_twice_is_saying_it_once(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    for kind in ("acknowledged", "acknowledged", "resolved", "resolved"):
        say(writer, run_id, burning, kind)
    assert rows(engine, alert_acts, run_id, "number", "kind") == [
        (1, "acknowledged"),
        (2, "resolved"),
    ]


def test_what_is_over_cannot_be_acknowledged_and_what_never_was_not_be_found(
    writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    say(writer, run_id, burning, "resolved")
    with pytest.raises(Conflict):
        say(writer, run_id, burning, "acknowledged")
    with pytest.raises(NotFound):
        say(writer, run_id, "plateau", "acknowledged")
    with pytest.raises(NotFound):
        say(writer, uuid.uuid4(), burning, "acknowledged")


def fast() -> Stream:
    """Updates that are too large from 100 to 120 and from 230 to 250, which calls nobody."""
    stream = healthy(360)
    stream.scalars["loss"] = np.exp(np.random.default_rng(5).normal(0, 0.05, len(stream)))
    stream.update_ratio(0, 0.008)
    stream.update_ratio(100, 0.03, 120)
    stream.update_ratio(230, 0.03, 250)
    return stream


def test_the_whole_life_of_an_alert(engine: Engine, writer: Writer) -> None:
    stream, cause = fast(), "learning-rate-too-high"
    run_id = create_run(engine, layers=stream.layers)
    life: list[object] = []
    for seq, frame in enumerate(stream.frames([110, 117, 180, 250])):
        answer(writer, frame_push(run_id, seq, frame))
        writer.submit(Judgement(run_id)).result(DEADLINE)
        life.append(states(engine, run_id)[cause])
        if life[-1] == "pending":
            with pytest.raises(Conflict):
                say(writer, run_id, cause, "acknowledged")
        if seq == 1:
            say(writer, run_id, cause, "acknowledged")
            life.append(states(engine, run_id)[cause])
        life.append(alerts_of(engine, run_id)[cause]["regressed"])
    assert life == [
        *("pending", False),
        *("firing", "acknowledged", False),
        *("resolved", False),
        *("firing", True),  # it came back, and nobody has acknowledged that
        *("resolved", True),
    ]
    told = acts_and_transitions(engine, run_id, cause)
    again = ["pending", "firing", "resolved"]
    assert told == ["pending", "firing", "acknowledged", "resolved", *again]


def acts_and_transitions(engine: Engine, run_id: uuid.UUID, cause: str) -> list[object]:
    identity = alert_id(run_id, cause)
    with engine.connect() as connection:
        seen = transitions.of_alert(connection, run_id, identity)
        done = acts.history(connection, run_id, identity)
    return [one["kind"] for one in sorted([*seen, *done], key=lambda one: int(str(one["step"])))]


def test_a_pending_alert_can_be_resolved(engine: Engine, writer: Writer) -> None:
    stream, cause = fast(), "learning-rate-too-high"
    run_id = create_run(engine, layers=stream.layers)
    answer(writer, frame_push(run_id, 0, stream.until(110).frames()[0]))
    say(writer, run_id, cause, "resolved")
    assert states(engine, run_id) == {cause: "resolved"}


def test_two_words_in_one_transaction_are_heard_in_order(engine: Engine, run_id: uuid.UUID) -> None:
    with serving(engine) as writer:
        answer(writer, halves(run_id)[0])
    cause = firing(engine, run_id)[0]
    writer = Writer(engine, clock=lambda: NOW)
    identity = alert_id(run_id, cause)
    kinds: tuple[ActKind, ...] = ("acknowledged", "resolved", "acknowledged")
    pending = [writer.submit(Word(run_id, identity, kind, "ada", "")) for kind in kinds]
    writer.start()
    assert [one.exception(DEADLINE) is None for one in pending] == [True, True, False]
    writer.stop()
    assert states(engine, run_id)[cause] == "resolved"


_on_a_shared_database = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_on_a_shared_database
@given(
    kind=st.sampled_from(["acknowledged", "resolved"]),
    at=st.integers(70, REPORTS - 4),
    ends=st.lists(st.lists(st.integers(1, REPORTS - 1), max_size=12), min_size=2, max_size=2),
    group=st.integers(1, 40),
    lives=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_acts_come_to_the_same_however_reports_are_cut_and_whenever_the_act_is_known(
    engine: Engine,
    kind: ActKind,
    at: int,
    ends: list[list[int]],
    group: int,
    lives: int,
    seed: int,
) -> None:
    plain_run, run_id = create_run(engine), create_run(engine)
    told = {writer: halves(plain_run, at, writer) for writer in WRITERS}
    ingest(engine, [pushes[0] for pushes in told.values()], 1, 1)
    with serving(engine) as writer:
        assert firing(engine, plain_run)
        for cause in firing(engine, plain_run):
            say(writer, plain_run, cause, kind)
    ingest(engine, [pushes[1] for pushes in told.values()], 1, 1)
    copy_acts(engine, plain_run, run_id)
    pushes = {w: cut(run_id, STORIES[w], cuts, w) for w, cuts in zip(WRITERS, ends, strict=True)}
    ingest(engine, shuffled(pushes, seed), group, lives)
    assert anonymous(engine, run_id) == anonymous(engine, plain_run)


def copy_acts(engine: Engine, known: uuid.UUID, run_id: uuid.UUID) -> None:
    """What was done about the alerts of one run, before anything is known of another."""
    causes = {alert_id(known, cause): cause for cause in alerts_of(engine, known)}
    with engine.begin() as connection:
        done = acts.newest(connection, [known]).get(known, {})
        again = [(run_id, alert_id(run_id, causes[one]), act) for one, act in done.items()]
        acts.add(connection, again)


def test_acts_survive_a_restart_and_the_loss_of_every_state(engine: Engine) -> None:
    run_id = create_run(engine)
    first, second = halves(run_id)
    with serving(engine) as writer:
        answer(writer, first)
        cause = firing(engine, run_id)[0]
        say(writer, run_id, cause, "acknowledged")
        before = alerts_of(engine, run_id)[cause]
    with engine.begin() as connection:
        connection.execute(tables.detector_states.delete())
    with serving(engine) as writer:
        answer(writer, simple_push(run_id, 0, "another"))
        assert alerts_of(engine, run_id)[cause] == before
        answer(writer, second)
    assert states(engine, run_id)[cause] in {"acknowledged", "firing"}
    ((severity,),) = rows(engine, alert_acts, run_id, "severity")
    worse = Severity[str(alerts_of(engine, run_id)[cause]["severity"]).upper()] > severity
    assert states(engine, run_id)[cause] == ("firing" if worse else "acknowledged")


@pytest.mark.parametrize("backend", [POSTGRES])
def test_a_word_said_to_one_replica_is_heard_by_the_other(
    engine: Engine, database_url: str
) -> None:
    run_id, other = create_run(engine), make_engine(database_url)
    first, second = halves(run_id)
    with ExitStack() as stack:
        stack.callback(other.dispose)
        near, far = stack.enter_context(serving(engine)), stack.enter_context(serving(other))
        answer(near, first)
        cause = firing(engine, run_id)[0]
        say(far, run_id, cause, "resolved")
        answer(near, simple_push(run_id, 0, "another"))
        assert states(engine, run_id)[cause] == "resolved"
        say(near, run_id, cause, "resolved")
        assert len(rows(engine, alert_acts, run_id, "number")) == 1
        answer(near, second)
    body = alerts_of(engine, run_id)[cause]
    assert (body["state"], body["regressed"]) == ("firing", True)


def test_another_launch_forgets_what_was_acknowledged(engine: Engine) -> None:
    run_id = create_run(engine, launch_id="first")
    with serving(engine) as writer:
        answer(writer, halves(run_id)[0])
        cause = firing(engine, run_id)[0]
        say(writer, run_id, cause, "acknowledged")
        create_run(engine, id=run_id, launch_id="second", resume_step=0)
        answer(writer, halves(run_id, writer="rank1")[0])
    assert states(engine, run_id)[cause] == "firing"


def finish(writer: Writer, run_id: uuid.UUID, state: Any) -> None:
    """As the route does it."""
    writer.run(lambda c: runs.finish_run(c, run_id, state, None, NOW)).result(DEADLINE)
    answer(writer, Silence.over(run_id, NOW))


def test_the_alerts_of_a_finished_run_are_over_and_its_health_tells_how_it_ended(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    finish(writer, run_id, "finished")
    assert set(states(engine, run_id).values()) == {"resolved"}
    body = alerts_of(engine, run_id)[burning]
    assert (body["resolved_by"], body["comment"]) == (ENDED_BY, ENDED)
    assert rows(engine, tables.runs, run_id, "health", "open_alerts") == [("critical", 0)]
    answer(writer, halves(run_id)[1])  # what was still under way
    assert set(states(engine, run_id).values()) == {"resolved"}


def test_the_grave_alerts_of_a_failed_run_wait_for_somebody(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    finish(writer, run_id, "failed")
    bodies = alerts_of(engine, run_id).values()
    assert {str(b["severity"]) for b in bodies if b["state"] == "firing"} <= {"error", "critical"}
    assert states(engine, run_id)[burning] == "firing"
    say(writer, run_id, burning, "resolved")
    assert states(engine, run_id)[burning] == "resolved"


def test_the_worker_ends_the_alerts_of_a_run_whose_end_was_cut_short(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    writer.run(lambda c: runs.finish_run(c, run_id, "finished", None, NOW)).result(DEADLINE)
    assert states(engine, run_id)[burning] == "firing"
    with engine.connect() as connection:
        (over,) = silences(connection, NOW)
    answer(writer, over)
    assert states(engine, run_id)[burning] == "resolved"
    with engine.connect() as connection:
        assert silences(connection, NOW) == ()


def test_a_resumed_run_has_alerts_again(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine, launch_id="first")
    answer(writer, halves(run_id)[0])
    finish(writer, run_id, "finished")
    create_run(engine, id=run_id, launch_id="second", resume_step=0)
    answer(writer, halves(run_id, writer="rank1")[0])
    assert firing(engine, run_id)


def changes(engine: Engine, run_id: uuid.UUID) -> dict[uuid.UUID, int]:
    with engine.connect() as connection:
        found = connection.execute(select(outbox).where(outbox.c.run_id == run_id))
        return {row.alert_id: row.version for row in found}


def test_the_outbox_moves_with_what_people_are_told_of_and_with_nothing_else(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    identity = alert_id(run_id, burning)
    before = changes(engine, run_id)
    assert set(before) == {alert_id(run_id, cause) for cause in alerts_of(engine, run_id)}
    last_step = alerts_of(engine, run_id)[burning]["last_step"]
    for push in cut(run_id, STORIES["rank0"], [SEEN, 104, 108], "rank0")[1:3]:
        answer(writer, push)
    assert alerts_of(engine, run_id)[burning]["last_step"] > last_step
    assert changes(engine, run_id)[identity] == before[identity]
    say(writer, run_id, burning, "acknowledged")
    acknowledged = changes(engine, run_id)[identity]
    assert acknowledged > before[identity]
    say(writer, run_id, burning, "acknowledged", by="bob")
    assert changes(engine, run_id)[identity] == acknowledged
    say(writer, run_id, burning, "resolved")
    assert changes(engine, run_id)[identity] > acknowledged


def test_sixty_four_ranks_that_explode_are_one_alert_a_cause_and_one_row_in_the_outbox(
    engine: Engine, run_id: uuid.UUID
) -> None:
    names = [f"r{rank}-x" for rank in range(64)]
    pushes: Sequence[FramePush] = [
        push
        for parts in zip(
            *(cut(run_id, exploding(rank), [40, 80], name) for rank, name in enumerate(names)),
            strict=True,
        )
        for push in parts
    ]
    ingest(engine, pushes, 64, 1)
    found = alerts_of(engine, run_id)
    alone = create_run(engine)
    ingest(engine, cut(alone, exploding(0), [40, 80], names[0]), 1, 1)
    own = {
        cause
        for cause, body in found.items()
        if not all(name.startswith("service/") for name in body["writers"])
    }
    assert set(alerts_of(engine, alone)) <= own
    assert any(len(body["writers"]) >= 64 for body in found.values())
    assert len(rows(engine, tables.alerts, run_id, "alert_id")) == len(found)
    assert set(changes(engine, run_id)) == {alert_id(run_id, cause) for cause in found}


def test_a_silent_run_and_its_return_are_both_in_the_outbox(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    answer(writer, simple_push(run_id, 0))
    identity = alert_id(run_id, "stalled-job")
    answer(writer, Silence(run_id, 1, NOW, seconds=31.0, patience=30.0))
    assert states(engine, run_id) == {"stalled-job": "firing"}
    silent = changes(engine, run_id)[identity]
    answer(writer, simple_push(run_id, 1))
    assert states(engine, run_id) == {"stalled-job": "resolved"}
    assert changes(engine, run_id)[identity] > silent


def test_an_acknowledged_silence_fires_when_it_is_three_times_as_long(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    for seq in range(10):
        answer(writer, simple_push(run_id, seq))
    for seconds, state in ((31, "firing"), (95, "firing")):
        with engine.connect() as connection:
            (silence,) = silences(connection, NOW + dt.timedelta(seconds=seconds))
        answer(writer, silence)
        assert states(engine, run_id) == {"stalled-job": state}
        say(writer, run_id, "stalled-job", "acknowledged")
        assert states(engine, run_id) == {"stalled-job": "acknowledged"}
    answer(writer, simple_push(run_id, 10))
    assert states(engine, run_id) == {"stalled-job": "resolved"}


def test_acts_come_back_as_they_were_saved(engine: Engine, run_id: uuid.UUID) -> None:
    act = Act(2, "resolved", Place(1, 7), Severity.ERROR, "ada", "why", NOW)
    first = Act(1, "acknowledged", Place(1, 5), Severity.WARNING, "bob", "", NOW)
    identity = uuid.uuid4()
    with engine.begin() as connection:
        acts.add(connection, [(run_id, identity, first), (run_id, identity, act)])
        assert acts.newest(connection, [run_id, uuid.uuid4()]) == {run_id: {identity: act}}
        told = acts.history(connection, run_id, identity)
    assert [(one["by"], one["kind"], one["text"]) for one in told] == [
        ("bob", "acknowledged", ""),
        ("ada", "resolved", "why"),
    ]


def test_an_alert_that_only_goes_on_is_not_written_anew(
    engine: Engine, writer: Writer, run_id: uuid.UUID, burning: str
) -> None:
    def written(table: Table) -> list[tuple[Any, ...]]:
        return rows(engine, table, run_id, "cause", "body")

    before, parts_before = alerts_of(engine, run_id), parts_of(engine, run_id)
    texts, part_texts = written(tables.alerts), written(tables.alert_parts)
    answer(writer, cut(run_id, STORIES["rank0"], [SEEN, 104], "rank0")[1])
    assert written(tables.alerts) == texts
    assert written(tables.alert_parts) == part_texts
    moved, parts_moved = alerts_of(engine, run_id)[burning], parts_of(engine, run_id)[burning]
    assert moved == before[burning] | {"last_step": 103}
    assert parts_moved == {"rank0": replace(parts_before[burning]["rank0"], last_step=103)}
    with engine.connect() as connection:
        assert alerts.get_alert(connection, alert_id(run_id, burning)) == moved
        assert moved in alerts.list_alerts(connection, AlertFilters(run_id=run_id)).items


def parts_of(engine: Engine, run_id: uuid.UUID) -> dict[str, dict[str, AlertPart]]:
    with engine.connect() as connection:
        found = parts.of_runs(connection, [run_id])[run_id]
    return {
        cause: {writer: one.part for writer, one in shares.items()}
        for cause, shares in found.items()
    }
