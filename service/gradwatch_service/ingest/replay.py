"""Joins logged frames into longer ones before they are folded again.

How reports are cut into frames changes nothing in the fold, but each frame costs the same overhead
again: a log of single reports replays several times faster when joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias

import numpy as np

from gradwatch_service.domain import Frame

MAX_REPORTS = 512
Form: TypeAlias = tuple[object, ...]


def joined(log: Iterable[Frame]) -> Iterator[Frame]:
    """The same reports in as few frames as possible."""
    return map(join, chunks(log))


def chunks(log: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Frames that can be joined, in order: together at most 512 reports, or one as it was.

    Only frames of one form are joined: the same layer table, the same statistics, no events.
    """
    for _, alike in groupby(log, key=_form):
        waiting: list[Frame] = []
        for frame in alike:
            if waiting and sum(map(len, waiting)) + len(frame) > MAX_REPORTS:
                yield waiting
                waiting = []
            waiting.append(frame)
        yield waiting


def _form(frame: Frame) -> Form:
    """What frames must share to be joined; equal to no other where there are events."""
    return (
        frame.layers_hash,
        frame.scalars.keys(),
        frame.layers.keys(),
        tuple((name, values.shape[1]) for name, values in sorted(frame.profiles.items())),
        object() if frame.events else None,
    )


def join(frames: Sequence[Frame]) -> Frame:
    """One frame of all the reports of some of one form."""
    first = frames[0]
    if len(frames) == 1:
        return first
    return replace(
        first,
        steps=np.concatenate([frame.steps for frame in frames]),
        time=np.concatenate([frame.time for frame in frames]),
        scalars={
            name: np.concatenate([frame.scalars[name] for frame in frames])
            for name in first.scalars
        },
        layers={
            name: np.concatenate([frame.layers[name] for frame in frames]) for name in first.layers
        },
        profiles={
            name: np.concatenate([frame.profiles[name] for frame in frames])
            for name in first.profiles
        },
    )
