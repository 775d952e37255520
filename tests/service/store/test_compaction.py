"""Reports in tiles: every bit survives, whoever interrupts or races, and replay cannot tell."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.domain import MISSING32, MISSING64, Frame, Layer, LayerTable
from gradwatch_service.errors import Conflict
from gradwatch_service.store import frames, packing, runs, tables, tilings
from gradwatch_service.store.compaction import Sealed, sealed
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.frames import Identity
from gradwatch_service.store.silence import Silence
from gradwatch_service.worker import compact
from tests.service.ingest.rig import (
    NOW,
    answer,
    create_run,
    frame_push,
    make_frame,
    serving,
    verdict,
)
from tests.service.ingest.training import cut, exploding
from tests.service.store import tiled
from tests.service.store.tiled import bodies, compact_all, count, finish

WIDE = LayerTable(tuple(Layer(f"layer{n}", "linear", n, (8, 8)) for n in range(40)))
NAN_WITH_PAYLOAD = np.uint32(0xFFC12345).view(np.float32)


def motley(start: int, reports: int, seed: int) -> Frame:
    """Reports with everything a frame can hold, and every kind of number."""
    noise = np.random.default_rng(seed)
    block = np.exp(noise.standard_normal((reports, 40))).astype(np.float32)
    block[0, :5] = [MISSING32, np.nan, np.inf, -np.inf, -0.0]
    block.view(np.uint32)[-1, 7] = NAN_WITH_PAYLOAD.view(np.uint32)
    loss = noise.standard_normal(reports)
    loss[0] = MISSING64
    layers = {"grad_norm": block}
    profiles = {}
    events = ()
    if seed % 2:
        layers["weight_norm"] = block[:, ::-1].copy()
        profiles["time"] = block[:, : 9 + seed % 5].copy()
    if seed % 3 == 0:
        events = ({"kind": "checkpoint", "step": start, "path": "s3://x"}, {"kind": "note"})
    return Frame(
        steps=np.arange(start, start + reports),
        time=1.7e9 + np.arange(reports) * 0.37,
        scalars={"loss": loss} if seed % 4 else {"loss": loss, "accuracy": loss * 2},
        layers_hash=WIDE.hash,
        layers=layers,
        profiles=profiles,
        events=events,
    )


@pytest.fixture
def run_id(engine: Engine) -> uuid.UUID:
    return create_run(engine, layers=WIDE)


def push_motley(engine: Engine, run_id: uuid.UUID, sizes: list[int]) -> list[bytes]:
    starts = [0, *itertools.accumulate(sizes)]
    made = [motley(start, size, seed) for seed, (start, size) in enumerate(zip(starts, sizes))]  # noqa: B905
    with serving(engine) as writer:
        for seq, frame in enumerate(made):
            answer(writer, frame_push(run_id, seq, frame))
    return [packing.pack(frame) for frame in made]


def replayed(engine: Engine, run_id: uuid.UUID, seqs: range, writer: str = "w0") -> list[bytes]:
    with engine.connect() as connection:
        log = frames.folded(connection, run_id, writer, seqs)
        return [packing.pack(logged.frame) for logged in log]


def test_what_is_read_back_from_tiles_is_what_was_sent_to_the_bit(
    engine: Engine, run_id: uuid.UUID
) -> None:
    sent = push_motley(engine, run_id, [100, 37, 300, 1, 90, 40, 500, 7])
    assert compact_all(engine) == 2
    left = bodies(engine, run_id)
    assert [size > 0 for size in left] == [False] * 7 + [True]
    assert replayed(engine, run_id, range(8)) == sent
    assert replayed(engine, run_id, range(3, 6)) == sent[3:6]
    assert compact_all(engine, run_id) == 1
    assert bodies(engine, run_id) == [0] * 8
    assert replayed(engine, run_id, range(8)) == sent
    with engine.connect() as connection:
        one = frames.frame(connection, Identity(run_id, "w0", 2))
    assert packing.pack(one) == sent[2]


def test_a_frame_in_tiles_is_still_known_when_it_comes_again(
    engine: Engine, run_id: uuid.UUID
) -> None:
    push_motley(engine, run_id, [300, 300])
    compact_all(engine)
    with serving(engine) as writer:
        again = answer(writer, frame_push(run_id, 0, motley(0, 300, 0)))
        assert (again.status, again.duplicates) == ("duplicate", 300)
        with pytest.raises(Conflict, match="another body"):
            answer(writer, frame_push(run_id, 0, motley(0, 299, 0)))


def test_few_reports_wait_until_there_are_more_or_the_run_has_ended(
    engine: Engine, run_id: uuid.UUID
) -> None:
    push_motley(engine, run_id, [300, 200])
    assert compact_all(engine) == 0
    assert count(engine, tables.row_groups) == 0
    assert compact_all(engine, run_id) == 1


def test_a_frame_behind_a_gap_is_put_into_no_tile(engine: Engine, run_id: uuid.UUID) -> None:
    with serving(engine) as writer:
        for seq in (0, 2):
            answer(writer, frame_push(run_id, seq, motley(600 * seq, 600, seq)))
    compact_all(engine, run_id)
    assert [size > 0 for size in bodies(engine, run_id)] == [False, True]
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 1, motley(600, 600, 1)))
        compact(tiled.backend(engine, writer))
    assert bodies(engine, run_id) == [0, 0, 0]


def exploded(engine: Engine, pause_at: int | None) -> object:
    """An explosion, frame by frame; midway its reports go into tiles, and memory is lost."""
    run_id = create_run(engine, id=uuid.UUID(int=7))
    pushes = cut(run_id, exploding(seed=5), range(4, 120, 4), "w0")
    with serving(engine) as writer:
        for push in pushes[:pause_at]:
            answer(writer, push)
    if pause_at is not None:
        compact_all(engine, run_id)
        assert set(bodies(engine, run_id)) == {0}
    with serving(engine) as writer:  # remembers nothing, replays
        for push in pushes[pause_at or len(pushes) :]:
            answer(writer, push)
        finish(writer, run_id)  # in the others it has ended already
        answer(writer, Silence.over(run_id, NOW))
    found = verdict(engine, run_id)
    with for_writing(engine).begin() as connection:
        runs.delete_run(connection, run_id)
    return found


def test_a_replay_from_tiles_comes_to_the_same_alerts(engine: Engine) -> None:
    undisturbed = exploded(engine, None)
    assert undisturbed["alerts"]
    for pause_at in (3, 16, 22, 29):
        assert exploded(engine, pause_at) == undisturbed


def prepared(engine: Engine, run_id: uuid.UUID) -> Sealed:
    with engine.connect() as connection:
        (due,) = [one for one in tilings.due(connection, NOW, 9) if one.run_id == run_id]
        group = sealed(connection, due)
    assert group is not None
    return group


def test_of_two_workers_one_writes_and_the_other_changes_nothing(
    engine: Engine, run_id: uuid.UUID
) -> None:
    sent = push_motley(engine, run_id, [300, 300, 300, 300])
    first, second = prepared(engine, run_id), prepared(engine, run_id)
    with serving(engine) as one, serving(engine) as other:
        outcomes = [worker.run(group.write) for worker, group in ((one, first), (other, second))]
        errors = [future.exception(60) for future in outcomes]
        assert sorted(type(error) for error in errors if error) == [Conflict]
        assert count(engine, tables.row_groups) == 1
        compact(tiled.backend(engine, one))
    assert count(engine, tables.row_groups) == 2
    assert replayed(engine, run_id, range(4)) == sent


def test_a_run_deleted_meanwhile_leaves_no_tile_behind(engine: Engine, run_id: uuid.UUID) -> None:
    push_motley(engine, run_id, [600])
    group = prepared(engine, run_id)
    with serving(engine) as writer:
        writer.run(lambda connection: runs.delete_run(connection, run_id)).result(60)
        assert isinstance(writer.run(group.write).exception(60), Conflict)
    for table in (tables.tilings, tables.row_groups, tables.chunks):
        assert count(engine, table) == 0


class KilledError(Exception):
    """The process ends here."""


PHASES = ("empty", "move", "insert")


@pytest.mark.parametrize("phase", PHASES)
def test_killed_at_any_moment_all_or_nothing_is_written(
    engine: Engine, run_id: uuid.UUID, phase: str
) -> None:
    sent = push_motley(engine, run_id, [600])
    group = prepared(engine, run_id)
    table = {"empty": "frames", "move": "tilings", "insert": "chunks"}[phase]

    def stop_after(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if table in statement and not statement.startswith("SELECT"):
            raise KilledError

    sa.event.listen(engine, "after_cursor_execute", stop_after)
    with pytest.raises(KilledError), for_writing(engine).begin() as connection:
        group.write(connection)
    sa.event.remove(engine, "after_cursor_execute", stop_after)
    assert min(bodies(engine, run_id)) > 0
    assert count(engine, tables.row_groups) + count(engine, tables.chunks) == 0
    assert compact_all(engine) == 1
    assert replayed(engine, run_id, range(1)) == sent


def test_frames_of_other_layers_begin_another_group(engine: Engine) -> None:
    run_id = create_run(engine)
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, make_frame(range(300), loss=1.0)))
        create_run(engine, id=run_id, layers=WIDE)
        answer(writer, frame_push(run_id, 1, motley(300, 300, 1)))
        other = replace(motley(600, 100, 2), layers={}, profiles={}, layers_hash="")
        answer(writer, frame_push(run_id, 2, other))
    compact_all(engine, run_id)
    with engine.connect() as connection:
        query = sa.select(tables.row_groups.c.rows, tables.row_groups.c.layers_hash)
        assert sorted(connection.execute(query).all()) == [(100, ""), (600, WIDE.hash)]


def test_a_frame_that_could_not_be_judged_keeps_its_place(
    engine: Engine, run_id: uuid.UUID
) -> None:
    sent = push_motley(engine, run_id, [300, 300])
    with engine.begin() as connection:  # as if the second of three had failed
        place = tables.frames.c.seq == 1
        connection.execute(sa.update(tables.frames).where(place).values(seq=2, ordinal=305))
        connection.execute(sa.update(tables.writers).values(ordinal=605, reports=605))
        late = dict(connection.execute(sa.select(tables.frames)).mappings().all()[0])
        late |= {"seq": 1, "ordinal": None, "body": packing.pack(motley(900, 5, 3))}
        connection.execute(sa.insert(tables.frames).values(late))
    with serving(engine) as writer:
        finish(writer, run_id)
        assert compact(tiled.backend(engine, writer)) == 1
    assert bodies(engine, run_id) == [0, 0, 0]
    assert replayed(engine, run_id, range(3)) == sent
    with engine.connect() as connection:
        one = frames.frame(connection, Identity(run_id, "w0", 1))
    assert packing.pack(one) == packing.pack(motley(900, 5, 3))


@pytest.mark.parametrize("backend", ["sqlite"])  # PostgreSQL vacuums by itself
def test_the_file_is_used_again(engine: Engine, run_id: uuid.UUID) -> None:
    sizes = []
    for round_number in range(4):
        with serving(engine) as writer:
            for seq in range(4):
                at = 4 * round_number + seq
                answer(writer, frame_push(run_id, at, motley(300 * at, 300, 2 * at + 1)))
            compact(tiled.backend(engine, writer))
        with engine.connect() as connection:
            pages, free = (
                connection.execute(sa.text(f"PRAGMA {name}")).scalar_one()
                for name in ("page_count", "freelist_count")
            )
        sizes.append((pages, pages - free))
    growth_of_file = sizes[-1][0] - sizes[1][0]
    growth_of_data = sizes[-1][1] - sizes[1][1]
    assert growth_of_file <= 1.2 * growth_of_data
