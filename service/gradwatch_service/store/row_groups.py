"""About 512 reports of one writer as columns, and the frames they came in, to the bit.

Frames of a group may differ in what they report: what one lacks is filled with "not measured", and
its form says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, cast

import msgpack
import numpy as np

from gradwatch_service.domain import (
    MISSING32,
    MISSING64,
    FloatArray,
    Frame,
    IntArray,
    JsonValue,
)
from gradwatch_service.store import tiles
from gradwatch_service.store.tiles import Values

SCALAR, LAYER, PROFILE = 0, 1, 2
STEP, TIME, VALUE = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<f4")


class Part(NamedTuple):
    """What a group holds columns of: a scalar, a per-layer statistic, or a profile, by name."""

    kind: int
    metric: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        return TIME if self.kind == SCALAR else VALUE


class Logged(NamedTuple):
    """A frame as it lies in the log; ``ordinal`` None: it was never folded."""

    seq: int
    digest: bytes
    ordinal: int | None
    frame: Frame


@dataclass(frozen=True, slots=True)
class Form:
    """What a frame reports, in its order; ``width`` of each profile."""

    layers_hash: str
    scalars: tuple[str, ...]
    layers: tuple[str, ...]
    profiles: tuple[tuple[str, int], ...]

    @staticmethod
    def of(frame: Frame) -> Form:
        """The form of a frame."""
        profiles = tuple((name, block.shape[1]) for name, block in frame.profiles.items())
        return Form(frame.layers_hash, tuple(frame.scalars), tuple(frame.layers), profiles)

    @staticmethod
    def parse(fields: Sequence[Any]) -> Form:
        """The form from what its fields were packed as."""
        layers_hash, scalars, layers, profiles = fields
        pairs = tuple((name, width) for name, width in profiles)
        return Form(layers_hash, tuple(scalars), tuple(layers), pairs)

    def parts(self) -> Iterator[Part]:
        """All it has columns of."""
        yield from (Part(SCALAR, name) for name in self.scalars)
        yield from (Part(LAYER, name) for name in self.layers)
        yield from (Part(PROFILE, name) for name, _ in self.profiles)


class Member(NamedTuple):
    """One frame of a group: how many reports it has, whether it was folded, and its events."""

    seq: int
    reports: int
    folded: bool
    form: int
    events: Sequence[Mapping[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Outline:
    """A group without its columns: ``widths`` of the parts, and the frames in order."""

    forms: tuple[Form, ...]
    members: tuple[Member, ...]
    widths: Mapping[Part, int]

    def encode(self) -> bytes:
        """As it lies in ``row_groups.outline``."""
        fields = {
            "forms": [
                (one.layers_hash, one.scalars, one.layers, one.profiles) for one in self.forms
            ],
            "members": self.members,
            "widths": [(*part, width) for part, width in self.widths.items()],
        }
        return tiles.compress(cast(bytes, msgpack.packb(fields)))

    @staticmethod
    def decode(body: bytes) -> Outline:
        """What ``encode`` wrote."""
        fields = msgpack.unpackb(tiles.decompress(body))
        return Outline(
            tuple(Form.parse(form) for form in fields["forms"]),
            tuple(Member(*member) for member in fields["members"]),
            {Part(kind, metric): width for kind, metric, width in fields["widths"]},
        )


@dataclass(frozen=True, slots=True)
class RowGroup:
    """``steps`` int64[n], ``time`` float64[n], and ``blocks``: part -> [n, width]."""

    outline: Outline
    steps: IntArray
    time: FloatArray
    blocks: Mapping[Part, Values] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def layers_hash(self) -> str:
        """Of the layer table of its columns; empty where it has no layers."""
        return next((form.layers_hash for form in self.outline.forms if form.layers_hash), "")

    def frames(self) -> Iterator[tuple[Member, Frame]]:
        """The frames it was made of, bit for bit."""
        start = 0
        for member in self.outline.members:
            rows = slice(start, start + member.reports)
            yield member, self._frame(self.outline.forms[member.form], rows, member.events)
            start = rows.stop

    def _frame(self, form: Form, rows: slice, events: Sequence[Mapping[str, JsonValue]]) -> Frame:
        return Frame(
            steps=self.steps[rows],
            time=self.time[rows],
            scalars={name: self.blocks[Part(SCALAR, name)][rows, 0] for name in form.scalars},
            layers_hash=form.layers_hash,
            layers={name: self.blocks[Part(LAYER, name)][rows] for name in form.layers},
            profiles={
                name: self.blocks[Part(PROFILE, name)][rows, :w] for name, w in form.profiles
            },
            events=tuple(events),
        )


def gather(log: Sequence[Logged]) -> RowGroup:
    """The group of these frames, whose layers have all one table."""
    formed = [(Form.of(entry.frame), entry.frame) for entry in log]
    forms = tuple(dict.fromkeys(form for form, _ in formed))
    stretches = [
        (form, [frame for _, frame in alike if len(frame)])
        for form, alike in groupby(formed, key=lambda pair: pair[0])
    ]
    widths: dict[Part, int] = {}
    for form, frame in {form: frame for form, frame in formed if len(frame)}.items():
        widen(widths, form, frame)
    return RowGroup(
        Outline(forms, _members(log, forms), widths),
        np.concatenate([frame.steps for _, frame in formed]),
        np.concatenate([frame.time for _, frame in formed]),
        {part: _block(stretches, part, width) for part, width in widths.items()},
    )


def _members(log: Sequence[Logged], forms: tuple[Form, ...]) -> tuple[Member, ...]:
    place = {form: index for index, form in enumerate(forms)}
    return tuple(
        Member(
            seq=entry.seq,
            reports=len(entry.frame),
            folded=entry.ordinal is not None,
            form=place[Form.of(entry.frame)],
            events=entry.frame.events,
        )
        for entry in log
    )


def widen(widths: dict[Part, int], form: Form, frame: Frame) -> None:
    """Note how many columns a frame needs for each of its parts."""
    for part in form.parts():
        width = 1 if part.kind == SCALAR else _given(frame, part).shape[1]
        widths[part] = max(width, widths.get(part, 0))


def _given(frame: Frame, part: Part) -> Values:
    groups: tuple[Mapping[str, Values], ...] = (frame.scalars, frame.layers, frame.profiles)
    return groups[part.kind][part.metric]


def _block(stretches: Sequence[tuple[Form, list[Frame]]], part: Part, width: int) -> Values:
    """The columns of a part; nothing is computed with the values, lest a NaN lose its payload."""
    rows = [sum(map(len, frames)) for _, frames in stretches]
    missing = MISSING64 if part.kind == SCALAR else MISSING32
    block = np.full((sum(rows), width), missing, part.dtype)
    raw, start = block.view(f"u{part.dtype.itemsize}"), 0
    for (form, frames), count in zip(stretches, rows, strict=True):
        if frames and part in form.parts():
            given = np.concatenate([_given(frame, part) for frame in frames]).reshape(count, -1)
            raw[start : start + count, : given.shape[1]] = given.view(raw.dtype)
        start += count
    block.flags.writeable = False
    return block
