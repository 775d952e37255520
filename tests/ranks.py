"""Streams of several ranks for tests: what each reports, and the same side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import Frame, Layer, LayerTable
from tests.streams import Scenario, noise

Array = NDArray[np.float64]


def replicas(n: int = 480, ranks: int = 4, seed: int = 1) -> Array:
    """Norms after the reduction, the same on all ranks: float64[n, ranks]."""
    return np.repeat(noise(n, 0.3, seed)[:, None], ranks, axis=1)


def uneven(n: int = 480, ranks: int = 4, seed: int = 1, bits: float = 0.4) -> Array:
    """Norms before the reduction: each rank has noise of its own on a common course."""
    own = np.exp2(np.random.default_rng(seed).normal(0.0, bits, (n, ranks)))
    return noise(n, 0.3, seed + 1)[:, None] * own


def struck(norms: Array, rank: int, rows: slice, factor: float) -> Array:
    """The same norms, those of one rank multiplied in these rows."""
    norms = norms.copy()
    norms[rows, rank] *= factor
    return norms


def jointly(onset: int = 0, **norms: Array) -> Scenario:
    """The joint stream of some ranks, as ``diagnose.joint`` makes it of what they report."""
    ((length, ranks),) = {values.shape for values in norms.values()}
    table = LayerTable(tuple(Layer(f"r{rank}") for rank in range(ranks)))
    frame = Frame(
        steps=np.arange(length),
        time=np.zeros(length),
        scalars={"rank_alike": np.ones(length)},
        layers_hash=table.hash,
        layers={f"rank_{name}": values.astype(np.float32) for name, values in norms.items()},
    )
    return Scenario(frame, table, onset)


def frames(norms: Array, statistic: str = "grad_norm", **fields: Any) -> Mapping[str, Frame]:
    """What each rank reports by itself: a scalar of its own in every step."""
    steps = np.arange(len(norms))
    return {
        f"r{rank}": Frame(steps, np.zeros(len(norms)), {statistic: norms[:, rank].copy()}, **fields)
        for rank in range(norms.shape[1])
    }


def silence(seconds: Array, patience: float = 30.0, onset: int = 0) -> Scenario:
    """What the worker writes into the log of a run that has gone silent."""
    steps = np.arange(len(seconds))
    frame = Frame(steps, np.zeros(len(seconds)), {"silence_seconds": seconds})
    return Scenario(frame, LayerTable(), onset).scalar("patience_seconds", patience)
