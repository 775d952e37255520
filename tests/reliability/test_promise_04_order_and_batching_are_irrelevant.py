"""Four ranks' frames in any order and batching, through restarts: same data, alerts and guard.

They report everything there is a name for, so that the whole catalogue of rules has its say.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gradwatch_service.detect.rules import catalogue
from gradwatch_service.domain import Frame, Guard, Layer, LayerTable
from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.store import writers
from gradwatch_service.store.series import SeriesQuery, series
from tests.everything import measured
from tests.reliability.counts import times
from tests.service.ingest.rig import LAYERS, create_run, frame_push
from tests.service.ingest.shuffling import anonymous, ingest
from tests.service.ingest.training import BREAKS, REPORTS, exploding
from tests.streams import cut

RANKS = ("rank0", "rank1", "rank2", "rank3")
EXAMPLES = times(8, 500)
GROWS = 40  # from this report on there is one more layer
WIDER = LayerTable((*LAYERS.layers, Layer("late", "linear", 3, (64, 64))))
METRICS = {
    "loss": [None],
    "grad_norm": [None, *WIDER.names],
    "weight_norm": list(WIDER.names),
    "update_norm": list(WIDER.names),
    "local_grad_norm": [None],
    "moment_rms": list(WIDER.names),
}
RULES = {rule.id for rule in catalogue()}
Cuts = Sequence[int]


@cache
def story(rank: str) -> Frame:
    """Ranks explode, each with noise of its own; the third ends before that.

    The gradients of the second are far from the others', even before the reduction.
    """
    reports = BREAKS if rank == "rank2" else REPORTS
    frame = measured(exploding(RANKS.index(rank), reports), RANKS.index(rank))
    if rank != "rank1":
        return frame
    local = 16 * frame.scalars["local_grad_norm"]
    return replace(frame, scalars={**frame.scalars, "local_grad_norm": local})


def with_late_layer(frame: Frame) -> Frame:
    blocks = {
        name: np.hstack([block, 2 * block[:, :1]]).astype(np.float32)
        for name, block in frame.layers.items()
    }
    return replace(frame, layers_hash=WIDER.hash, layers=blocks)


def pushes_of(run_id: uuid.UUID, rank: str, cuts: Cuts) -> list[FramePush]:
    """The rank's reports in frames that end at these places, and where the layer table grows."""
    before, after = cut(story(rank), [GROWS])
    frames = [
        *cut(before, sorted({end for end in cuts if 0 < end < GROWS})),
        *cut(
            with_late_layer(after),
            sorted({end - GROWS for end in cuts if GROWS < end < len(story(rank))}),
        ),
    ]
    return [frame_push(run_id, seq, frame, rank) for seq, frame in enumerate(frames)]


def open_run(engine: Engine) -> uuid.UUID:
    """A run that knows both layer tables."""
    run_id = create_run(engine)
    return create_run(engine, id=run_id, layers=WIDER)


def digest(engine: Engine, run_id: uuid.UUID) -> str:
    """SHA-256 of every point of every series, bit for bit."""
    found = hashlib.sha256()
    with engine.connect() as connection:
        for metric, layers in METRICS.items():
            for layer in layers:
                steps, values = series(connection, run_id, SeriesQuery(metric, layer))
                assert len(steps), f"{metric} of {layer} must be stored, or nothing is compared"
                found.update(steps.tobytes() + values.tobytes())
    return found.hexdigest()


def guard(engine: Engine, run_id: uuid.UUID) -> Guard:
    with engine.connect() as connection:
        return writers.guard(connection, run_id)


@pytest.mark.timeout(1_800)
def test_any_order_and_batching_through_restarts_is_the_same_run(engine: Engine):
    plain = open_run(engine)
    ingest(engine, [push for rank in RANKS for push in pushes_of(plain, rank, ())], 1, 1)
    expected, armed = anonymous(engine, plain), guard(engine, plain)
    assert "firing" in [alert["state"] for alert in expected["alerts"].values()]
    assert "hardware-or-rank" in expected["alerts"]
    facts = [fact["name"] for alert in expected["alerts"].values() for fact in alert["evidence"]]
    assert len(RULES.intersection(facts)) >= 8, "too few rules have their say"
    assert armed.max_norm is not None

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        cuts=st.tuples(*[st.lists(st.integers(1, REPORTS - 1), max_size=25) for _ in RANKS]),
        chance=st.randoms(use_true_random=False),
        group=st.integers(1, 40),
        lives=st.integers(1, 4),
    )
    def check(cuts: Sequence[Cuts], chance: random.Random, group: int, lives: int) -> None:
        run_id = open_run(engine)
        parts = zip(RANKS, cuts, strict=True)
        pushes = [push for rank, ends in parts for push in pushes_of(run_id, rank, ends)]
        chance.shuffle(pushes)
        ingest(engine, pushes, group, lives)
        assert digest(engine, run_id) == digest(engine, plain)
        assert anonymous(engine, run_id) == expected
        assert guard(engine, run_id) == armed

    check()


def test_the_last_rank_to_speak_does_not_matter(engine: Engine):
    runs = [open_run(engine) for _ in RANKS]
    for turn, run_id in enumerate(runs):
        order = [*RANKS[turn:], *RANKS[:turn]]
        ingest(engine, [push for rank in order for push in pushes_of(run_id, rank, (70,))], 4, 3)
    verdicts = [anonymous(engine, run_id) for run_id in runs]
    assert verdicts[1:] == verdicts[:1] * (len(RANKS) - 1)
    assert len({digest(engine, run_id) for run_id in runs}) == 1
    assert len({str(guard(engine, run_id)) for run_id in runs}) == 1
