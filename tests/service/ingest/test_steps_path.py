"""The simple path numbers its own frames, leaves out what it has, and extends the layer table."""

from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import Layer, LayerTable, is_missing
from gradwatch_service.errors import Conflict, Invalid, NotFound, TooLarge
from gradwatch_service.ingest.step_tables import extend
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import layers, packing, tables
from gradwatch_service.store.packing import MAX_LAYERS
from gradwatch_service.store.series import SeriesQuery, series
from tests.service.ingest.rig import (
    LAYERS,
    answer,
    create_run,
    make_frame,
    rows,
    serving,
    steps_push,
)


def stored_steps(engine: Engine, run_id: uuid.UUID) -> list[int]:
    with engine.connect() as connection:
        return series(connection, run_id, SeriesQuery("loss"))[0].tolist()


def test_steps_already_stored_count_as_duplicates(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    first = answer(writer, steps_push(run_id, [0, 1, 2]))
    assert (first.status, first.accepted, first.duplicates) == ("stored", 3, 0)
    overlapping = answer(writer, steps_push(run_id, [2, 3]))
    assert (overlapping.status, overlapping.accepted, overlapping.duplicates) == ("stored", 1, 1)
    again = answer(writer, steps_push(run_id, [1, 3]))
    assert (again.status, again.accepted, again.duplicates) == ("duplicate", 0, 2)
    assert stored_steps(engine, run_id) == [0, 1, 2, 3]
    assert rows(engine, tables.frames, run_id, "writer", "seq") == [("steps", 0), ("steps", 1)]


def test_a_step_named_twice_in_one_body_is_stored_once(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    receipt = answer(writer, steps_push(run_id, [5, 5, 4]))
    assert (receipt.accepted, receipt.duplicates) == (2, 1)
    assert stored_steps(engine, run_id) == [4, 5]


def test_a_late_step_between_stored_ones_is_new(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    answer(writer, steps_push(run_id, [10, 30]))
    late = answer(writer, steps_push(run_id, [20]))
    assert (late.accepted, late.duplicates) == (1, 0)
    assert stored_steps(engine, run_id) == [10, 20, 30]


def test_duplicates_are_found_within_one_group_and_after_a_restart(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)
    pending = [writer.submit(steps_push(run_id, [0, 1])) for _ in range(2)]
    writer.start()
    assert [one.result(60).accepted for one in pending] == [2, 0]
    writer.stop()
    with serving(engine) as restarted:
        assert answer(restarted, steps_push(run_id, [1, 2])).accepted == 1
    assert stored_steps(engine, run_id) == [0, 1, 2]


def test_an_idempotency_key_replays_the_answer_and_stores_nothing(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    first = answer(writer, steps_push(run_id, [0, 1], key="k"))
    again = answer(writer, steps_push(run_id, [0, 1], key="k"))
    assert (first.status, first.accepted) == ("stored", 2)
    assert (again.status, again.accepted, again.duplicates) == ("duplicate", 0, 2)
    assert again.guard == first.guard
    assert stored_steps(engine, run_id) == [0, 1]


def test_a_key_used_for_another_body_is_a_conflict(writer: Writer, run_id: uuid.UUID) -> None:
    answer(writer, steps_push(run_id, [0], key="k"))
    with pytest.raises(Conflict, match="choose a new key"):
        answer(writer, steps_push(run_id, [1], key="k"))


def test_a_key_counts_within_its_run_and_survives_a_restart(engine: Engine) -> None:
    one, other = create_run(engine), create_run(engine)
    with serving(engine) as writer:
        assert answer(writer, steps_push(one, [0], key="k")).status == "stored"
    with serving(engine) as writer:
        assert answer(writer, steps_push(one, [0], key="k")).status == "duplicate"
        assert answer(writer, steps_push(other, [1], key="k")).status == "stored"


def test_unknown_layer_names_extend_the_table(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    answer(writer, steps_push(run_id, [0], c=3.0, new=4.0))
    answer(writer, steps_push(run_id, [1], newer=5.0))
    with engine.connect() as connection:
        table = layers.current(connection, run_id)
        assert table.names == (*LAYERS.names, "new", "newer")
        assert table.layers[:3] == LAYERS.layers
        found = {
            name: series(connection, run_id, SeriesQuery("grad_norm", name))
            for name in ("a", "c", "newer")
        }
    assert {name: one[0].tolist() for name, one in found.items()} == {
        "a": [],
        "c": [0],
        "newer": [1],
    }
    assert found["newer"][1].tolist() == [5.0]
    assert rows(engine, tables.runs, run_id, "layers_hash", "layers_count") == [(table.hash, 5)]


def test_layers_not_mentioned_are_not_measured(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    answer(writer, steps_push(run_id, [0], b=2.0))
    ((body,),) = rows(engine, tables.frames, run_id, "body")
    block = packing.unpack(body).layers["grad_norm"]
    assert is_missing(block).tolist() == [[True, False, True]]
    assert block[0, 1] == np.float32(2.0)


def test_a_new_attempt_stores_the_same_steps_again(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine, launch_id="first")
    answer(writer, steps_push(run_id, [0, 1, 2]))
    create_run(engine, id=run_id, launch_id="second", resume_step=1)
    receipt = answer(writer, steps_push(run_id, [1, 2]))
    assert (receipt.accepted, receipt.duplicates, receipt.contiguous_through) == (2, 0, 0)
    written = rows(engine, tables.frames, run_id, "writer", "attempt")
    assert written == [("steps", 1), ("steps-2", 2)]


def test_a_table_has_a_widest() -> None:
    full = LayerTable(tuple(Layer(str(n)) for n in range(MAX_LAYERS)))
    assert extend(full, ("0", "1")) is full
    with pytest.raises(TooLarge, match="at most 100000 layers"):
        extend(full, ("one more",))


def test_rejections_travel_back_in_the_receipt(writer: Writer, run_id: uuid.UUID) -> None:
    rejections = ({"pointer": "/steps/1", "code": "out-of-range"},)
    push = replace(steps_push(run_id, [0]), rejections=rejections)
    assert answer(writer, push).rejections == rejections
    assert answer(writer, push).rejections == rejections


def test_steps_need_a_run_and_at_least_one_step(writer: Writer, run_id: uuid.UUID) -> None:
    with pytest.raises(NotFound):
        answer(writer, steps_push(uuid.uuid4(), [0]))
    with pytest.raises(Invalid, match="at least one step"):
        answer(writer, replace(steps_push(run_id, [0]), frame=make_frame([])))
