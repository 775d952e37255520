"""Data points are told apart by run, step, metric and layer, wherever they are stored."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from gradwatch_service.domain import MISSING32, MISSING64, Frame, LayerTable
from gradwatch_service.ingest.pushes import PointsPush
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import frames, tables
from gradwatch_service.store.series import SeriesQuery, series
from tests.service.ingest.rig import NOW, answer, create_run, serving, steps_push
from tests.service.store.tiled import compact_all

NONE = LayerTable()


def points(
    run_id: uuid.UUID,
    rows: Mapping[int, Mapping[str, float]],
    *,
    times: list[float] | None = None,
    counted: int = 0,
) -> PointsPush:
    """A push of these steps; a name such as ``fc:grad_norm`` is a statistic of a layer."""
    names = dict.fromkeys(name for row in rows.values() for name in row)
    layers = tuple(dict.fromkeys(name.split(":")[0] for name in names if ":" in name))
    statistics = dict.fromkeys(name.split(":")[1] for name in names if ":" in name)
    blocks = {name: np.full((len(rows), len(layers)), MISSING32) for name in statistics}
    scalars = {name: np.full(len(rows), MISSING64) for name in names if ":" not in name}
    for place, row in enumerate(rows.values()):
        for name, value in row.items():
            layer, _, statistic = name.rpartition(":")
            if layer:
                blocks[statistic][place, layers.index(layer)] = value
            else:
                scalars[name][place] = value
    moments = np.array(times if times is not None else [1.0 + step for step in rows])
    frame = Frame(np.array(list(rows), np.int64), moments, scalars, "", blocks)
    digest = hashlib.sha256(repr((rows, times)).encode()).digest()
    return PointsPush(run_id, digest, frame, layers, counted)


def stored(
    engine: Engine, run_id: uuid.UUID, metric: str, layer: str | None = None
) -> dict[int, Any]:
    with engine.connect() as connection:
        steps, values = series(connection, run_id, SeriesQuery(metric, layer))[:2]
    found = list(zip(steps.tolist(), values.tolist(), strict=True))
    assert len(dict(found)) == len(found), "a value is stored twice"
    return dict(found)


def test_a_value_is_new_until_it_is_stored_whatever_comes_with_it(
    engine: Engine, writer: Writer
) -> None:
    run_id = create_run(engine, layers=NONE)
    first = answer(writer, points(run_id, {0: {"loss": 1.0}, 1: {"a:grad_norm": 2.0}}))
    assert (first.accepted, first.duplicates) == (2, 0)
    rest = {
        0: {"loss": 9.0, "lr": 0.5},
        1: {"a:grad_norm": 9.0, "b:grad_norm": 3.0},
        2: {"loss": 4.0},
    }
    second = answer(writer, points(run_id, rest))
    assert (second.accepted, second.duplicates) == (3, 0)
    third = answer(writer, points(run_id, rest))
    assert (third.status, third.accepted, third.duplicates) == ("duplicate", 0, 3)
    assert stored(engine, run_id, "loss") == {0: 1.0, 2: 4.0}
    assert stored(engine, run_id, "lr") == {0: 0.5}
    assert stored(engine, run_id, "grad_norm", "a") == {1: 2.0}
    assert stored(engine, run_id, "grad_norm", "b") == {1: 3.0}


def test_a_stored_nan_is_a_value_and_is_not_replaced(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine, layers=NONE)
    answer(writer, points(run_id, {0: {"loss": np.nan, "a:grad_norm": np.nan}}))
    again = answer(writer, points(run_id, {0: {"loss": 1.0, "a:grad_norm": 1.0}}))
    assert again.status == "duplicate"


def test_values_are_known_within_one_group_and_after_a_restart(engine: Engine) -> None:
    run_id = create_run(engine, layers=NONE)
    push = points(run_id, {0: {"loss": 1.0, "a:grad_norm": 1.0}})
    more = points(run_id, {0: {"b:grad_norm": 1.0, "a:grad_norm": 1.0}})
    waiting = Writer(engine, clock=lambda: NOW)
    pending = [waiting.submit(one) for one in (push, more, push, more)]
    waiting.start()
    assert [one.result(60).accepted for one in pending] == [1, 1, 0, 0]
    waiting.stop()
    with serving(engine) as restarted:
        assert answer(restarted, push).accepted == 0
        assert answer(restarted, more).accepted == 0
    assert stored(engine, run_id, "grad_norm", "b") == {0: 1.0}


def test_values_are_known_when_they_lie_in_tiles(engine: Engine) -> None:
    run_id = create_run(engine, layers=NONE)
    rows = {step: {"loss": 1.0, "a:grad_norm": 1.0} for step in range(600)}
    with serving(engine) as writer:
        answer(writer, points(run_id, rows))
        writer.judge(run_id).result(60)
    assert compact_all(engine)
    with serving(engine) as writer:
        again = answer(writer, points(run_id, rows | {600: {"loss": 1.0}}))
    assert (again.accepted, again.duplicates) == (1, 600)
    assert stored(engine, run_id, "loss") == dict.fromkeys(range(601), 1.0)


def test_only_frames_with_a_pushed_step_are_decoded(engine: Engine) -> None:
    run_id = create_run(engine, layers=NONE)
    with serving(engine) as writer:
        for first in range(0, 1_800, 900):
            rows = {step: {"loss": 1.0} for step in range(first, first + 900, 3)}
            answer(writer, points(run_id, rows))
        writer.judge(run_id).result(60)
    between = np.array([1, 898, 1_799])

    def held(*steps: int) -> list[int]:
        with engine.connect() as connection:
            name = connection.execute(select(tables.frames.c.writer)).scalars().first()
            wanted = np.array([*between, *steps])
            found = frames.holding(connection, run_id, str(name), wanted)
            return [int(frame.steps[0]) for frame in found]

    assert (held(), held(3), held(900)) == ([], [0], [900])
    assert compact_all(engine)
    assert held() == []
    assert 0 in held(3)


def test_steps_of_the_simple_path_are_known_too(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine)
    answer(writer, steps_push(run_id, [0, 1]))
    again = answer(writer, points(run_id, {1: {"loss": 7.0, "lr": 0.5}, 2: {"loss": 7.0}}))
    assert (again.accepted, again.duplicates) == (2, 0)
    assert stored(engine, run_id, "loss").keys() == {0, 1, 2}
    assert stored(engine, run_id, "lr") == {1: 0.5}


def test_counted_steps_follow_the_newest_and_a_time_keeps_its_number(
    engine: Engine, writer: Writer
) -> None:
    run_id = create_run(engine, layers=NONE)
    answer(writer, points(run_id, {7: {"loss": 0.0}}))
    two = points(run_id, {0: {"loss": 1.0}, 1: {"loss": 2.0}}, times=[50.0, 51.0], counted=2)
    assert answer(writer, two).accepted == 2
    assert answer(writer, two).accepted == 0
    other = points(run_id, {0: {"lr": 0.5}, 1: {"loss": 3.0}}, times=[51.0, 52.0], counted=2)
    assert answer(writer, other).accepted == 2
    assert stored(engine, run_id, "loss") == {7: 0.0, 8: 1.0, 9: 2.0, 10: 3.0}
    assert stored(engine, run_id, "lr") == {9: 0.5}
