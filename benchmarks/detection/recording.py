"""What one training run reported, and what was wrong with it; the file between record and judge."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradwatch_service.domain import (
    MISSING32,
    MISSING64,
    Float32Array,
    FloatArray,
    IntArray,
    JsonValue,
)

FOLDER = Path("build/recordings")
SPLITS = ("tuning", "test")
FRESH = "fresh"  # as many runs as in test, of seeds that nobody has tuned on or looked at


@dataclass(frozen=True)
class Label:
    """What was done to the run, and when it was lost; steps are those of the training.

    ``t0``: the fault was injected (0: from the start); ``t_nf``: first step with a non-finite loss
    or gradient; ``t_irr``: first step from which the known fix no longer recovers the run (see
    ``oracle.py``), None: it always does, or the run is not ``repairable``; ``causes``: acceptable
    cause ids, the one meant first;
    ``systemic``: a person should be called; ``gradual``: it grows over 50 steps or more;
    ``repairable``: an action in place can save the run.
    """

    fault: str
    t0: int
    t_nf: int | None
    t_irr: int | None
    causes: tuple[str, ...]
    systemic: bool
    gradual: bool
    repairable: bool


@dataclass(frozen=True)
class Stream:
    """The reports of one writer: a rank, or one attempt of a run that was resumed.

    ``steps`` int64[n]; ``time`` float64[n] seconds; ``scalars`` name -> float64[n]; ``stats``
    statistic -> float32[n, L]; ``profiles`` axis -> float32[n, T]; not measured: the missing NaN.
    ``resumed_at``: the step at which this attempt took up an earlier one.
    """

    name: str
    steps: IntArray
    time: FloatArray
    scalars: Mapping[str, FloatArray]
    stats: Mapping[str, Float32Array]
    profiles: Mapping[str, Float32Array] = field(default_factory=dict)
    events: tuple[Mapping[str, JsonValue], ...] = ()
    resumed_at: int | None = None

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Recording:
    """One run: ``layers`` and ``config`` as the job registered them; ``label`` None: healthy."""

    family: str
    variant: str
    seed: int
    split: str
    layers: tuple[Mapping[str, JsonValue], ...]
    config: Mapping[str, JsonValue]
    writers: tuple[Stream, ...]
    label: Label | None = None

    @property
    def name(self) -> str:
        """Its file name without the extension."""
        return f"{self.family}--{self.variant}--{self.seed}"

    @property
    def path(self) -> Path:
        """Where it belongs, relative to the folder of all recordings."""
        return Path(self.split) / f"{self.name}.npz"


def save(recording: Recording, folder: Path = FOLDER) -> Path:
    """Write a recording to its place in the folder."""
    about = {
        **{name: getattr(recording, name) for name in ("family", "variant", "seed", "split")},
        "layers": recording.layers,
        "config": recording.config,
        "label": vars(recording.label) if recording.label else None,
        "writers": [
            {"name": w.name, "events": w.events, "resumed_at": w.resumed_at}
            for w in recording.writers
        ],
    }
    arrays: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for place, writer in enumerate(recording.writers):
        arrays |= {f"{place}/steps": writer.steps, f"{place}/time": writer.time}
        for group in _GROUPS:
            columns: Mapping[str, Any] = getattr(writer, group)
            arrays |= {f"{place}/{group}/{name}": values for name, values in columns.items()}
    path = folder / recording.path
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def load(path: Path) -> Recording:
    """Read what ``save`` wrote."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads(arrays.pop("about").tobytes())
    label = about["label"]
    if label is not None:
        label = Label(**{**label, "causes": tuple(label["causes"])})
    writers = [_writer(arrays, place, each) for place, each in enumerate(about["writers"])]
    return Recording(
        **{**about, "layers": tuple(about["layers"]), "writers": tuple(writers), "label": label}
    )


def load_all(split: str, folder: Path = FOLDER) -> Iterator[Recording]:
    """Every recording of a split, in the order of their names."""
    return map(load, sorted((folder / split).glob("*.npz")))


def columns(rows: list[dict[str, float]]) -> dict[str, FloatArray]:
    """Scalars of n reports as name -> float64[n]; what a report lacks is missing."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {n: np.array([row.get(n, MISSING64) for row in rows], np.float64) for n in names}


def tables(rows: list[dict[str, Float32Array]]) -> dict[str, Float32Array]:
    """Arrays of n reports as name -> float32[n, longest]; shorter rows end in missing."""
    found: dict[str, Float32Array] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        width = max(len(row[name]) for row in rows if name in row)
        found[name] = np.full((len(rows), width), MISSING32)
        for place, row in enumerate(rows):
            if name in row:
                found[name][place, : len(row[name])] = row[name]
    return found


_GROUPS = ("scalars", "stats", "profiles")


def _writer(arrays: Mapping[str, Any], place: int, about: Mapping[str, Any]) -> Stream:
    return Stream(
        name=about["name"],
        steps=arrays[f"{place}/steps"],
        time=arrays[f"{place}/time"],
        events=tuple(about["events"]),
        resumed_at=about["resumed_at"],
        **{group: _within(arrays, f"{place}/{group}/") for group in _GROUPS},
    )


def _within(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
