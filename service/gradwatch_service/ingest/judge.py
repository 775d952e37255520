"""Who judges: holds the states of all streams, and folds reports into them."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Protocol, TypeAlias, cast

from gradwatch_service.diagnose.calm import Calm, calm
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import AlertEvent, AlertPart, Facts, Frame, Guard, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.replay import chunks, join
from gradwatch_service.store import checkpoint

_LONGEST_ERROR = 500

State: TypeAlias = object  # only the judge that made it can look into it


class Part(NamedTuple):
    """Frames of one form, joined; how many reports each of them had."""

    frame: Frame
    layers: LayerTable
    lengths: tuple[int, ...]

    @staticmethod
    def joined(log: Iterable[tuple[Frame, LayerTable]]) -> list[Part]:
        """The same reports in as few parts as possible."""
        tables: list[LayerTable] = []
        frames: list[Frame] = []
        for frame, layers in log:
            frames.append(frame)
            tables.append(layers)
        parts: list[Part] = []
        done = 0
        for chunk in chunks(frames):
            parts.append(Part(join(chunk), tables[done], tuple(map(len, chunk))))
            done += len(chunk)
        return parts

    def frames(self) -> list[Part]:
        """The frames apart again."""
        ends = accumulate(self.lengths)
        return [
            Part(self.frame.rows(end - length, end), self.layers, (length,))
            for end, length in zip(ends, self.lengths, strict=True)
        ]


class UnfitError(Exception):
    """A checkpoint of other rules or other settings, or a damaged one: fold the log instead."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Where a state begins: before the first report, or at a checkpoint."""

    layers: LayerTable
    facts: Facts
    checkpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Reports to be folded into a state, in order; ``pack``: a checkpoint is wanted after them."""

    base: State | Birth
    parts: Sequence[Part]
    pack: bool = False


class Failure(NamedTuple):
    """How judging failed: in a line, and for the log."""

    text: str
    trace: str

    @staticmethod
    def of(error: Exception) -> Failure:
        """The failure that an exception tells of."""
        return Failure(ascii(error)[:_LONGEST_ERROR], "".join(traceback.format_exception(error)))


@dataclass(frozen=True, slots=True)
class Judged:
    """The state after a task and what is to be known of it, and what the task changed.

    ``ordinal``: how many reports it has taken; ``size``: about how many bytes it holds;
    ``failures``: those of the frames, by their place in the task, on which judging failed.
    """

    state: State
    ordinal: int
    guard: Guard
    calm: Calm | None
    size: int
    parts: tuple[AlertPart, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    failures: Mapping[int, Failure] = field(default_factory=dict)
    packed: bytes | None = None


class Submitted(NamedTuple):
    """A task that was handed to a judge: the state after it can be built on at once."""

    state: State
    answer: Future[Judged]


class JudgeLostError(Exception):
    """The judge is gone, and all states with it."""


class Judge(Protocol):
    """Folds tasks into states, in the order in which they came."""

    @property
    def is_lost(self) -> bool:
        """Whether all states are lost: ``renew``."""

    def submit(self, task: Task) -> Submitted:
        """Have a task judged; the future may hold ``UnfitError``, or that the judge was lost."""

    def renew(self) -> None:
        """Begin again without any state."""

    def close(self) -> None:
        """Finish."""


class OwnJudge:
    """Judges at once, in the thread that asks."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold

    is_lost = False

    def submit(self, task: Task) -> Submitted:
        """Have a task judged."""
        future: Future[Judged] = Future()
        base = task.base
        try:
            state = born(self._fold, base) if isinstance(base, Birth) else cast(WriterState, base)
            found = judge(self._fold, state, task.parts, pack=task.pack)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            future.set_exception(error)
            return Submitted(None, future)
        future.set_result(found)
        return Submitted(found.state, future)

    def renew(self) -> None:
        """There is nothing to lose."""

    def close(self) -> None:
        """There is nothing to finish."""


def born(fold: Fold, birth: Birth) -> WriterState:
    """The state to begin with.

    Raises:
        UnfitError: its checkpoint cannot be used.
    """
    if birth.checkpoint is None:
        return fold.init(birth.layers, birth.facts)
    state = checkpoint.unpack(birth.checkpoint, birth.layers)
    if state is None or state.facts.rules != birth.facts.rules:
        raise UnfitError
    return state


def judge(fold: Fold, state: WriterState, parts: Sequence[Part], *, pack: bool) -> Judged:
    """Fold parts into a state; frames on which that fails are left out."""
    changed: dict[str, AlertPart] = {}
    events: list[AlertEvent] = []
    failures: dict[int, Failure] = {}
    waiting = deque(_numbered(parts))
    while waiting:
        place, part = waiting.popleft()
        found = outcome_of(fold.update, state, part.frame, part.layers)
        if not isinstance(found, Exception):
            state, outcome = found
            changed |= {one.cause: one for one in outcome.parts}
            events += outcome.events
        elif len(part.lengths) == 1:
            failures[place] = Failure.of(found)
        else:
            waiting.extendleft(reversed(_numbered(part.frames(), place)))
    return Judged(
        state=state,
        ordinal=state.ordinal,
        guard=state.guard,
        calm=calm(state),
        size=state.size,
        parts=tuple(changed.values()),
        events=tuple(events),
        failures=failures,
        packed=checkpoint.pack(state) if pack else None,
    )


def _numbered(parts: Sequence[Part], first: int = 0) -> list[tuple[int, Part]]:
    """Each part with the place of its first frame."""
    counts = [len(part.lengths) for part in parts]
    return list(zip(accumulate(counts, initial=first), parts, strict=False))
