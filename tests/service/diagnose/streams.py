"""Streams of reports made with numpy: healthy ones to tamper with, and what folding them led to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import AlertEvent, AlertPart, Facts, Frame, Layer, LayerTable

Array = NDArray[Any]
WIDTH = 64
CRITICAL_NORM = float(np.sqrt(2 * WIDTH))  # ‖W‖ of a 64 x 64 ReLU layer that keeps the signal


def mlp(layers: int = 6, **facts: Any) -> LayerTable:
    """A plain chain of 64 x 64 ReLU layers."""
    plain: dict[str, Any] = {"kind": "linear", "shape": (WIDTH, WIDTH), "activation": "relu"}
    described = plain | {"normalised": False} | facts
    return LayerTable(tuple(Layer(f"fc{i}", depth=i, **described) for i in range(layers)))


@dataclass
class Stream:
    """Arrays of n reports, to be tampered with and then cut into frames."""

    layers: LayerTable
    scalars: dict[str, Array]
    stats: dict[str, Array]
    profile: Array | None = None
    events: tuple[Mapping[str, Any], ...] = ()
    facts: Facts = field(default_factory=Facts)
    stride: int = 1

    def __len__(self) -> int:
        return len(next(iter(self.scalars.values())))

    def multiply_norms(self, start: int, factors: Array | float, stop: int | None = None) -> None:
        """Multiply the gradients of every layer from ``start`` on."""
        part = self.stats["grad_norm"][start:stop]
        part *= np.broadcast_to(np.asarray(factors), len(part))[:, None]

    def multiply_loss(self, start: int, factors: Array | float, stop: int | None = None) -> None:
        """Multiply the loss from ``start`` on."""
        self.scalars["loss"][start:stop] *= factors

    def update_ratio(self, start: int, ratio: float, stop: int | None = None) -> None:
        """Make every update this large against its weights."""
        self.stats["update_norm"][start:stop] = ratio * self.stats["weight_norm"][start:stop]

    def frames(self, cuts: Iterable[int] = ()) -> list[Frame]:
        """The stream as one frame, or cut before the given reports."""
        edges = sorted({0, *cuts, len(self)})
        return [self._frame(slice(start, stop)) for start, stop in pairwise(edges)]

    def _frame(self, rows: slice) -> Frame:
        steps = np.arange(len(self), dtype=np.int64)[rows] * self.stride
        profile = self.profile
        return Frame(
            steps=steps,
            time=steps.astype(np.float64),
            scalars={name: values[rows] for name, values in self.scalars.items()},
            layers_hash=self.layers.hash,
            layers={name: values[rows].astype(np.float32) for name, values in self.stats.items()},
            profiles={} if profile is None else {"time": profile[rows].astype(np.float32)},
            events=tuple(e for e in self.events if steps[0] <= e["step"] <= steps[-1]),
        )

    def until(self, report: int) -> "Stream":
        """The stream before this report."""
        return replace(
            self,
            scalars={name: values[:report] for name, values in self.scalars.items()},
            stats={name: values[:report] for name, values in self.stats.items()},
            profile=None if self.profile is None else self.profile[:report],
        )


def healthy(
    reports: int = 400, *, layers: LayerTable | None = None, seed: int = 1, noise: float = 0.1
) -> Stream:
    """Norms, losses and updates that only fluctuate."""
    table = mlp() if layers is None else layers
    rng = np.random.default_rng(seed)
    shared = np.exp(rng.normal(0, noise, reports))
    weights = np.full((reports, len(table)), CRITICAL_NORM)
    fall = 1 + np.exp(-np.arange(reports) / 100)
    return Stream(
        layers=table,
        scalars={
            "loss": np.exp(rng.normal(0, noise / 2, reports)) * fall,
            "lr": np.full(reports, 1e-3),
        },
        stats={
            "grad_norm": shared[:, None] * np.exp(rng.normal(0, noise, (reports, len(table)))),
            "weight_norm": weights,
            "update_norm": weights * 1e-3,
        },
    )


@dataclass(frozen=True)
class Told:
    """Everything a stream led to."""

    state: WriterState
    events: tuple[AlertEvent, ...]

    @property
    def parts(self) -> Mapping[str, AlertPart]:
        """What the stream contributes to each alert."""
        return self.state.parts

    @property
    def story(self) -> list[tuple[str, str, int]]:
        """Kind, cause and step of every transition."""
        return [(event.kind, event.cause, event.step) for event in self.events]

    def advised(self, cause: str) -> dict[str, Mapping[str, Any]]:
        """Parameters of each action advised for a cause, in order."""
        return {advice.action: advice.params for advice in self.parts[cause].advice}

    def signs(self, cause: str) -> dict[str, float]:
        """Weights of the evidence for and against a cause."""
        evidence = self.parts[cause].evidence
        return {fact.name: fact.weight for fact in evidence if fact.weight is not None}


def tell(stream: Stream, cuts: Iterable[int] = ()) -> Told:
    """Fold a stream, cut into frames, from the start."""
    state = fold.init(stream.layers, stream.facts)
    events: list[AlertEvent] = []
    for frame in stream.frames(cuts):
        state, outcome = fold.update(state, frame, stream.layers)
        events += outcome.events
    return Told(state, tuple(events))
