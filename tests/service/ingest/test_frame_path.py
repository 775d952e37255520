"""A client's frames are stored exactly once, folded in order, and acknowledged when durable."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.errors import Conflict, Invalid, NotFound, UnknownLayers
from gradwatch_service.ingest.sequence import PATIENCE
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import events, packing, runs, tables
from tests.service.ingest.rig import (
    LAYERS,
    NOW,
    answer,
    create_run,
    frame_push,
    make_frame,
    rows,
    serving,
    simple_push,
    steps_push,
)


def test_an_acknowledged_frame_is_in_the_database_as_it_was_sent(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    push = frame_push(run_id, 0, make_frame([7, 8, 9], LAYERS, loss=[3.0, 2.0, 1.0]))
    receipt = answer(writer, push)
    assert (receipt.status, receipt.accepted, receipt.duplicates) == ("stored", 3, 0)
    assert (receipt.contiguous_through, receipt.gaps, receipt.health) == (0, (), "ok")
    stored = rows(
        engine,
        tables.frames,
        run_id,
        "body",
        "digest",
        "step_min",
        "step_max",
        "reports",
        "ordinal",
    )
    assert stored == [(push.body, push.digest, 7, 9, 3, 0)]
    with engine.connect() as connection:
        assert runs.get_run(connection, run_id)["last_step"] == 9


def test_the_same_frame_again_is_a_duplicate_with_the_current_guard(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    first = answer(writer, simple_push(run_id, 0))
    answer(writer, simple_push(run_id, 1))
    again = answer(writer, simple_push(run_id, 0))
    assert (again.status, again.accepted, again.duplicates) == ("duplicate", 0, 1)
    assert again.contiguous_through == 1
    assert again.guard.expires_step == first.guard.expires_step + 1
    assert len(rows(engine, tables.frames, run_id, "seq")) == 2


def test_a_duplicate_is_recognised_within_one_group_and_after_a_restart(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)
    pending = [writer.submit(simple_push(run_id, 0)) for _ in range(3)]
    writer.start()
    assert [one.result(60).status for one in pending] == ["stored", "duplicate", "duplicate"]
    writer.stop()
    with serving(engine) as restarted:
        assert answer(restarted, simple_push(run_id, 0)).status == "duplicate"
    assert len(rows(engine, tables.frames, run_id, "seq")) == 1


def test_another_body_under_a_known_seq_is_a_conflict(writer: Writer, run_id: uuid.UUID) -> None:
    for seq in range(3):
        answer(writer, simple_push(run_id, seq))
    for seq in (0, 2):
        with pytest.raises(Conflict, match="stored with another body"):
            answer(writer, simple_push(run_id, seq, loss=2.0))


def test_frames_beyond_a_gap_are_stored_at_once_and_folded_when_it_fills(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    early = answer(writer, simple_push(run_id, 2))
    assert (early.status, early.contiguous_through, early.gaps) == ("stored", -1, ((0, 1),))
    assert rows(engine, tables.frames, run_id, "seq", "reports") == [(2, 1)]
    answer(writer, simple_push(run_id, 0))
    filled = answer(writer, simple_push(run_id, 1))
    assert (filled.contiguous_through, filled.gaps) == (2, ())
    assert rows(engine, tables.frames, run_id, "seq", "ordinal") == [(0, 0), (1, 1), (2, 2)]


def test_frames_that_waited_are_folded_after_a_restart_too(engine: Engine) -> None:
    run_id = create_run(engine)
    for seq in (3, 0, 2, 1):
        with serving(engine) as writer:
            answer(writer, simple_push(run_id, seq))
    assert rows(engine, tables.frames, run_id, "seq", "ordinal") == [(n, n) for n in range(4)]


def test_a_long_stream_is_replayed_in_full(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)
    pending = [writer.submit(simple_push(run_id, seq)) for seq in range(150)]
    writer.start()
    assert {one.result(60).status for one in pending} == {"stored"}
    writer.stop()
    with serving(engine) as restarted:
        assert answer(restarted, simple_push(run_id, 150)).guard.expires_step == 150 + 256
    assert rows(engine, tables.writers, run_id, "ordinal", "next_seq") == [(151, 151)]


def test_a_gap_is_given_up_and_its_frame_stored_late_without_being_folded(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    for seq in range(1, PATIENCE + 1):
        receipt = answer(writer, simple_push(run_id, seq))
    assert (receipt.contiguous_through, receipt.gaps) == (PATIENCE, ())
    assert rows(engine, tables.writers, run_id, "next_seq", "lost") == [(PATIENCE + 1, 1)]
    assert answer(writer, simple_push(run_id, 0)).status == "stored"
    assert answer(writer, simple_push(run_id, 0)).status == "duplicate"
    assert rows(engine, tables.writers, run_id, "lost", "ordinal") == [(0, PATIENCE)]
    unfolded = [seq for seq, ordinal in _ordinals(engine, run_id) if ordinal is None]
    assert unfolded == [0]


def _ordinals(engine: Engine, run_id: uuid.UUID) -> list[tuple[int, int | None]]:
    with engine.connect() as connection:
        query = tables.frames.select().where(tables.frames.c.run_id == run_id)
        return [(row.seq, row.ordinal) for row in connection.execute(query)]


def test_a_run_nobody_created_is_not_found(writer: Writer) -> None:
    with pytest.raises(NotFound, match="create it with POST /runs"):
        answer(writer, simple_push(uuid.uuid4(), 0))


def test_an_unknown_layer_table_is_asked_for_and_then_the_same_frame_is_taken(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    other = LayerTable((*LAYERS.layers, Layer("new")))
    push = frame_push(run_id, 0, make_frame([0], other, loss=1.0))
    with pytest.raises(UnknownLayers) as caught:
        answer(writer, push)
    assert (caught.value.status, caught.value.code) == (409, "unknown-layers")
    create_run(engine, id=run_id, layers=other)
    assert answer(writer, push).status == "stored"


def test_a_table_may_grow_between_frames(engine: Engine, writer: Writer, run_id: uuid.UUID) -> None:
    answer(writer, frame_push(run_id, 0, make_frame([0], LAYERS, loss=1.0)))
    wider = LayerTable((*LAYERS.layers, Layer("new")))
    create_run(engine, id=run_id, layers=wider)
    answer(writer, frame_push(run_id, 1, make_frame([1], wider, loss=1.0)))
    assert rows(engine, tables.runs, run_id, "layers_count", "degraded") == [(4, None)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"writer": "steps"}, "reserved-writer"),
        ({"writer": "steps-2"}, "reserved-writer"),
        ({"writer": "service/ranks"}, "reserved-writer"),
        ({"writer": "service/silence-2"}, "reserved-writer"),
        ({"writer": "a\nb"}, "bad-name"),
        ({"writer": ""}, "bad-name"),
        ({"seq": -1}, "out-of-range"),
        ({"seq": 2**53}, "out-of-range"),
    ],
)
def test_a_broken_address_is_refused(
    writer: Writer, run_id: uuid.UUID, change: dict[str, object], code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        answer(writer, replace(simple_push(run_id, 0), **change))
    assert [error.code for error in caught.value.errors] == [code]


def test_arrays_of_another_width_than_the_table_are_refused(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    narrow = Frame(
        steps=np.array([0]),
        time=np.array([1.0]),
        layers_hash=LAYERS.hash,
        layers={"grad_norm": np.ones((1, 2), np.float32)},
    )
    with pytest.raises(Invalid, match="has 3 layers"):
        answer(writer, frame_push(run_id, 0, narrow))
    assert rows(engine, tables.frames, run_id, "seq") == []


def test_events_of_a_frame_are_kept_in_their_order_once(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    said = ({"kind": "phase", "step": 3, "name": "warm"}, {"kind": "checkpoint", "step": 4})
    push = frame_push(run_id, 0, replace(make_frame([3, 4], loss=1.0), events=said))
    answer(writer, push)
    answer(writer, push)
    with engine.connect() as connection:
        found = events.list_events(connection, run_id).items[::-1]
    assert [(one["kind"], one["step"]) for one in found] == [("phase", 3), ("checkpoint", 4)]
    assert found[0]["name"] == "warm"


def test_a_frame_of_events_alone_is_stored(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    empty = replace(make_frame([]), events=({"kind": "note", "text": "hello"},))
    statuses = [answer(writer, frame_push(run_id, 0, empty)).status for _ in range(2)]
    assert statuses == ["stored", "duplicate"]
    answer(writer, simple_push(run_id, 1))
    assert rows(engine, tables.frames, run_id, "seq", "reports") == [(0, 0), (1, 1)]
    assert rows(engine, tables.runs, run_id, "last_step", "degraded") == [(1, None)]


def test_not_measured_and_nan_survive_bit_for_bit(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    bits = np.array([0x7FC007A2, 0x7FC00000, 0x7F800000], np.uint32)
    frame = replace(make_frame([0], LAYERS), layers={"grad_norm": bits.view(np.float32)[None, :]})
    answer(writer, frame_push(run_id, 0, frame))
    ((body,),) = rows(engine, tables.frames, run_id, "body")
    stored = packing.unpack(body).layers["grad_norm"]
    assert stored.view(np.uint32).tolist() == [bits.tolist()]


def test_a_run_of_another_project_is_not_there_whoever_pushed_to_it_last(
    engine: Engine, writer: Writer
) -> None:
    run_id = create_run(engine, project="mine")
    mine = [replace(simple_push(run_id, seq), project="mine") for seq in range(3)]
    others = [replace(simple_push(run_id, seq), project="another") for seq in (0, 1, 5)] + [
        replace(steps_push(run_id, [9]), project="another")
    ]
    answer(writer, mine[0])
    together = [writer.submit(push) for push in (others[0], mine[1], *others[1:], mine[2])]
    refused = [future for future in together if future.exception(60) is not None]
    assert {type(future.exception()) for future in refused} == {NotFound}
    assert len(refused) == len(others)
    assert [seq for seq, _ in _ordinals(engine, run_id)] == [0, 1, 2]
    assert rows(engine, tables.runs, run_id, "last_step") == [(2,)]


def test_a_deleted_run_is_forgotten_and_its_namesake_starts_anew(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    answer(writer, simple_push(run_id, 0))
    writer.run(lambda connection: runs.delete_run(connection, run_id)).result(60)
    for push in (simple_push(run_id, 1), simple_push(run_id, 0, writer="new")):
        with pytest.raises(NotFound):
            answer(writer, push)
    create_run(engine, NOW + dt.timedelta(seconds=1), id=run_id)
    assert answer(writer, simple_push(run_id, 0, loss=5.0)).status == "stored"
