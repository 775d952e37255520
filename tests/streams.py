"""Streams of reports for tests: an ordinary training run, and how to bend and to cut it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import MISSING32, MISSING64, Frame, Layer, LayerTable

Array = NDArray[np.float64]
MLP = LayerTable(
    (
        *(Layer(f"{i}.weight", "linear", i, (64, 64), activation="relu") for i in range(6)),
        Layer("head.weight", "head", 6, (10, 64)),
        Layer("head.bias", "bias", 6, (10,)),
    )
)
RECURRENT = LayerTable(
    (Layer("rnn.weight_hh", "recurrent", 0, (64, 64)), Layer("head", "head", 1, (10, 64)))
)
TINY = LayerTable((Layer("in", "linear", 0, (8, 4)), Layer("out", "head", 1, (1, 8))))


@dataclass(frozen=True)
class Scenario:
    """One stream of n reports; ``onset``: the report at which the fault begins."""

    frame: Frame
    layers: LayerTable
    onset: int = 0

    def __len__(self) -> int:
        return len(self.frame)

    def scalar(self, name: str, values: Array | float) -> Scenario:
        """The same stream with this scalar."""
        column = np.broadcast_to(np.asarray(values, np.float64), len(self)).copy()
        return replace(
            self, frame=replace(self.frame, scalars={**self.frame.scalars, name: column})
        )

    def stat(self, name: str, values: NDArray[Any]) -> Scenario:
        """The same stream with this statistic for every layer."""
        table = np.broadcast_to(values, (len(self), len(self.layers))).astype(np.float32)
        return replace(self, frame=replace(self.frame, layers={**self.frame.layers, name: table}))

    def scaled(self, factor: Array) -> Scenario:
        """The same stream with all gradients (and the updates they make) times ``factor`` [n]."""
        names = {"grad_norm", "grad_max", "update_norm"} & set(self.frame.layers)
        done = self.scalar("grad_norm", self.frame.scalars["grad_norm"] * factor)
        for name in sorted(names):
            done = done.stat(name, self.frame.layers[name] * factor[:, None])
        return done

    def announced(self, kind: str, step: int) -> Scenario:
        """The same stream with an announcement."""
        events = (*self.frame.events, {"kind": kind, "step": step})
        return replace(self, frame=replace(self.frame, events=events))

    def without(self, rows: Iterable[int], *, layers_only: bool = False) -> Scenario:
        """The same stream with nothing measured in these reports."""
        gone = np.array(sorted(rows), dtype=np.int64)
        scalars = {name: values.copy() for name, values in self.frame.scalars.items()}
        layers = {name: values.copy() for name, values in self.frame.layers.items()}
        profiles = {name: values.copy() for name, values in self.frame.profiles.items()}
        for values in () if layers_only else scalars.values():
            values[gone] = MISSING64
        for table in (*layers.values(), *profiles.values()):
            table[gone] = MISSING32
        frame = replace(self.frame, scalars=scalars, layers=layers, profiles=profiles)
        return replace(self, frame=frame)


def cut(frame: Frame, at: Sequence[int]) -> Iterator[Frame]:
    """The frame in pieces; like a client, a piece lacks the names it measured nothing of.

    An announcement goes with the report of its step, or the first one after it.
    """
    places = [(int(np.searchsorted(frame.steps, x["step"])), x) for x in frame.events]
    for start, stop in pairwise([0, *at, len(frame)]):
        rows = slice(start, stop)
        yield Frame(
            steps=frame.steps[rows],
            time=frame.time[rows],
            scalars=_present(frame.scalars, rows),
            layers_hash=frame.layers_hash,
            layers=_present(frame.layers, rows),
            profiles=_present(frame.profiles, rows),
            events=tuple(event for place, event in places if start <= place < stop),
        )


def _present(columns: Mapping[str, NDArray[Any]], rows: slice) -> dict[str, NDArray[Any]]:
    missing = {4: MISSING32.view(np.uint32), 8: MISSING64.view(np.uint64)}
    return {
        name: values[rows]
        for name, values in columns.items()
        if (values[rows].view(f"u{values.itemsize}") != missing[values.itemsize]).any()
    }


def noise(n: int, bits: float, seed: int, *, tail: float = 0.0) -> Array:
    """Factors 2**x, x an AR(.5) series of this deviation; ``tail``: of Student t instead."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(tail, n) if tail else rng.normal(0.0, 1.0, n)
    x = np.zeros(n)
    for i in range(n):
        x[i] = 0.5 * x[i - 1] + np.sqrt(0.75) * shocks[i]
    return np.exp2(bits * x)


def training(
    n: int = 480, *, layers: LayerTable = MLP, seed: int = 1, bits: float = 0.25, tail: float = 0.0
) -> Scenario:
    """An ordinary run: loss 2.3 → .4, norm 2 → 1, updates of 2e-3; everything with noise."""
    rng, time = np.random.default_rng(seed), np.arange(float(n))
    loss = (0.4 + 1.9 * np.exp2(-time / 120)) * noise(n, bits / 3, seed + 1)
    norm = (1.0 + np.exp2(-time / 120)) * noise(n, bits, seed + 2, tail=tail)
    frame = Frame(np.arange(n), 1.8e9 + 0.5 * time, {"loss": loss, "grad_norm": norm}, layers.hash)
    run = Scenario(frame, layers).scalar("lr", 1e-3)
    share = np.exp2(rng.normal(0.0, 0.1, (n, len(layers)))) / np.sqrt(max(len(layers), 1))
    grad = norm[:, None] * share
    weight = 0.7 * np.sqrt(2 * layers.numel / 64) * (1 + time[:, None] / 20_000)
    jitter = np.exp2(rng.normal(0.0, 0.1, (n, len(layers))))
    return (
        run.stat("grad_norm", grad)
        .stat("grad_max", 4 * grad / np.sqrt(layers.numel))
        .stat("weight_norm", weight)
        .stat("update_norm", 2e-3 * weight * jitter)
    )


def level(n: int, at: int, bits: float, over: int = 1) -> Array:
    """A factor that goes from 1 to 2**bits, starting at report ``at``."""
    return np.exp2(bits * np.clip((np.arange(n) - at + 1) / over, 0.0, 1.0))


def steady(n: int, *, layers: LayerTable = MLP) -> Scenario:
    """A run without noise or progress: loss 1, norm 1, updates of 2**-10, weights of norm 8."""
    frame = Frame(np.arange(n), np.zeros(n), {}, layers.hash)
    run = Scenario(frame, layers).scalar("loss", 1.0).scalar("grad_norm", 1.0)
    run = run.stat("grad_norm", np.full(len(layers), 1 / np.sqrt(max(len(layers), 1))))
    run = run.stat("weight_norm", np.full(len(layers), 8.0))
    return run.stat("update_norm", np.full(len(layers), 2.0**-7))


def with_rows(values: Array, rows: slice | int, factor: float) -> Array:
    """A copy in which these rows are multiplied."""
    changed = values.copy()
    changed[rows] *= factor
    return changed
