"""Who judges: holds the states of all streams, and folds reports into them."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
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
Part: TypeAlias = tuple[Frame, LayerTable]


class UnfitError(Exception):
    """A checkpoint that was written by other rules, or is damaged: fold the log instead."""


@dataclass(frozen=True, slots=True)
class Birth:
    """Where a state begins: before the first report, or at a checkpoint."""

    layers: LayerTable
    facts: Facts
    checkpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Frames to be folded into a state, in order; ``pack``: a checkpoint is wanted after them."""

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
    ``failures``: those of the frames, by their place in the task, that judging failed on.
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


class Judge(Protocol):
    """Folds tasks into states; each batch of tasks by itself, in the order in which they came."""

    def submit(self, tasks: Sequence[Task]) -> Future[list[Judged]]:
        """Have tasks judged.

        The future may hold ``UnfitError``. A ``BrokenExecutor``, there or raised, says that all
        states are lost: ``renew``.
        """

    def renew(self) -> None:
        """Begin again without any state."""

    def close(self) -> None:
        """Finish."""


class OwnJudge:
    """Judges at once, in the thread that asks."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold

    def submit(self, tasks: Sequence[Task]) -> Future[list[Judged]]:
        """Have tasks judged."""
        future: Future[list[Judged]] = Future()
        try:
            future.set_result([self._judge(task) for task in tasks])
        except UnfitError as error:
            future.set_exception(error)
        return future

    def _judge(self, task: Task) -> Judged:
        base = task.base
        state = born(self._fold, base) if isinstance(base, Birth) else cast(WriterState, base)
        return judge(self._fold, state, task.parts, pack=task.pack)

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
    if state is None:
        raise UnfitError
    return state


def judge(fold: Fold, state: WriterState, parts: Sequence[Part], *, pack: bool) -> Judged:
    """Fold frames into a state; those on which that fails are left out."""
    changed: dict[str, AlertPart] = {}
    events: list[AlertEvent] = []
    failures: dict[int, Failure] = {}
    done = 0
    for chunk in chunks(frame for frame, _ in parts):
        attempts = [range(done, done + len(chunk))]
        done += len(chunk)
        while attempts:
            places = attempts.pop()
            frame = join([parts[place][0] for place in places])
            found = outcome_of(fold.update, state, frame, parts[places[0]][1])
            if not isinstance(found, Exception):
                state, outcome = found
                changed |= {part.cause: part for part in outcome.parts}
                events += outcome.events
            elif len(places) == 1:
                failures[places[0]] = Failure.of(found)
            else:
                attempts += [range(place, place + 1) for place in reversed(places)]
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
