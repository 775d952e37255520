"""Reports of a training that explodes, one seed one story; and how they are cut into frames."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable

import numpy as np

from gradwatch_service.domain import Frame
from gradwatch_service.ingest.pushes import FramePush
from tests.service.ingest.rig import LAYERS, frame_push

REPORTS = 120
BREAKS = 60
DIES = 112


def exploding(seed: int, reports: int = REPORTS) -> Frame:
    """All reports as one frame: gradients double every 3 steps from 60 on, NaN from 112 on."""
    noise = np.random.default_rng(seed)
    steps = np.arange(reports)
    growth = np.exp2(np.maximum(steps - BREAKS, 0) / 3)
    norms = np.exp(0.1 * noise.standard_normal(reports)) * growth
    loss = (2.0 + 0.02 * noise.standard_normal(reports)) * growth**0.25
    loss[DIES:] = np.nan
    per_layer = norms[:, None] * np.array([[0.5, 0.7, 0.5]])
    per_layer[DIES:] = np.nan
    return Frame(
        steps=steps,
        time=1.7e9 + steps,
        scalars={"loss": loss, "grad_norm": np.where(steps < DIES, norms, np.nan)},
        layers_hash=LAYERS.hash,
        layers={
            "grad_norm": per_layer.astype(np.float32),
            "weight_norm": np.full((reports, 3), 8.0, np.float32),
            "update_norm": (0.01 * per_layer).astype(np.float32),
        },
    )


def cut(run_id: uuid.UUID, whole: Frame, ends: Iterable[int], writer: str) -> list[FramePush]:
    """The reports as frames that end at these places."""
    edges = [0, *sorted(set(ends) | {len(whole)})]
    return [
        frame_push(run_id, seq, _part(whole, slice(first, last)), writer)
        for seq, (first, last) in enumerate(itertools.pairwise(edges))
    ]


def _part(whole: Frame, rows: slice) -> Frame:
    return Frame(
        steps=whole.steps[rows],
        time=whole.time[rows],
        scalars={name: column[rows] for name, column in whole.scalars.items()},
        layers_hash=whole.layers_hash,
        layers={name: block[rows] for name, block in whole.layers.items()},
    )
