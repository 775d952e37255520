"""A judge in a process of its own, so that judging does not take turns with storing.

The states stay there; here they are numbers that count as held for as long as somebody knows them.
"""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.reduction import ForkingPickler
from subprocess import TimeoutExpired
from typing import NamedTuple, cast

from gradwatch_service import memory
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.ingest.child import ENDED, begin, ends
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import (
    Birth,
    Failure,
    Judged,
    JudgeLostError,
    Part,
    State,
    Submitted,
    Task,
    UnfitError,
    born,
    judge,
)
from gradwatch_service.ingest.lru import Lru
from gradwatch_service.store import checkpoint

PROGRAM = "from gradwatch_service.ingest.judge_process import main; main()"
PATIENCE_SECONDS = 30.0
OBJECTS_BEFORE_COLLECTION = 50_000
BYTES_UNPACKED = 288 * 2**20
ORDERS_BETWEEN_TRIMS = 4_096


@dataclass(eq=False)
class _Remote:
    """A state over there; ``layers_hash``: the table that it knows already."""

    number: int
    layers_hash: str


class _Order(NamedTuple):
    """A task as it travels: without the tables of the parts that are those of the part before."""

    base: int | Birth
    target: int
    parts: Sequence[tuple[Frame, LayerTable | None, tuple[int, ...]]]
    pack: bool
    released: Sequence[int]  # states that nobody knows any more


class _Sent(NamedTuple):
    """What is not answered yet. The task is named to be kept: it needs the state it is based on."""

    answer: Future[Judged]
    target: _Remote
    task: Task


class ProcessJudge:
    """To be used by one thread. The process ends with this one, however this one ends."""

    def __init__(self) -> None:
        self._numbers = count()
        self._released: deque[int] = deque()
        self._link = _Link()

    @property
    def is_lost(self) -> bool:
        """Whether the process has ended."""
        return self._link.is_broken

    def submit(self, task: Task) -> Submitted:
        """Have a task judged."""
        target = self._target(task)
        released = [self._released.popleft() for _ in range(len(self._released))]
        answer = self._link.send(_order(task, target, released), _Sent(Future(), target, task))
        return Submitted(target, answer)

    def renew(self) -> None:
        """Begin again without any state."""
        self._link.close()
        self._released.clear()
        self._link = _Link()

    def close(self) -> None:
        """Finish what is under way, end the process."""
        self._link.close()

    def _target(self, task: Task) -> _Remote:
        newest = task.parts[-1].layers.hash if task.parts else _known(task.base)
        remote = _Remote(next(self._numbers), newest)
        weakref.finalize(remote, self._released.append, remote.number).atexit = False
        return remote


class _Link:
    """A process that judges, and the thread that hears its answers."""

    def __init__(self) -> None:
        self._process, self._orders, self._answers = begin(PROGRAM)
        self._waiting: deque[_Sent] = deque()
        self.is_broken = False
        self._thread = threading.Thread(target=self._hear, name="gradwatch-judge", daemon=True)
        self._thread.start()

    def send(self, order: _Order, sent: _Sent) -> Future[Judged]:
        """Send an order; the future holds ``JudgeLostError`` if nobody is there."""
        body = ForkingPickler.dumps(order)  # first: what cannot be sent gets no answer
        self._waiting.append(sent)
        with suppress(*ENDED):
            self._orders.send_bytes(body)
            if not self.is_broken:
                return sent.answer
        self._thread.join()  # it may have heard of the end before this was waiting
        self._break()
        return sent.answer

    def close(self) -> None:
        """Send nothing more; return when all is answered and the process has ended."""
        self._orders.close()
        with suppress(TimeoutExpired):
            self._process.wait(PATIENCE_SECONDS)
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def _hear(self) -> None:
        with suppress(*ENDED):
            while True:
                found = self._answers.recv()
                sent = self._waiting.popleft()
                if isinstance(found, Exception):
                    sent.answer.set_exception(found)
                else:
                    sent.answer.set_result(replace(found, state=sent.target))
        self._break()

    def _break(self) -> None:
        self.is_broken = True
        while self._waiting:
            self._waiting.popleft().answer.set_exception(JudgeLostError("its process has ended"))


def _order(task: Task, target: _Remote, released: Sequence[int]) -> _Order:
    base = task.base
    known = _known(base)
    parts: list[tuple[Frame, LayerTable | None, tuple[int, ...]]] = []
    for frame, layers, lengths in task.parts:
        parts.append((frame, None if layers.hash == known else layers, lengths))
        known = layers.hash
    begin = base if isinstance(base, Birth) else _remote(base).number
    return _Order(begin, target.number, parts, task.pack, released)


def _known(base: State | Birth) -> str:
    """The hash of the table that a state has already."""
    return base.layers.hash if isinstance(base, Birth) else _remote(base).layers_hash


def _remote(state: State) -> _Remote:
    return cast(_Remote, state)


# From here on: in the judge's process.


class _Held(NamedTuple):
    """A state, and the layer table that its reports had last; ``packed``: what is left of it."""

    state: WriterState | None
    layers: LayerTable
    packed: bytes = b""


def main() -> None:
    """Judge until nobody is there to ask."""
    orders, answers = ends()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, *gc.get_threshold()[1:])
    bench = _Bench()
    with suppress(*ENDED):
        for number in count(1):
            answers.send(bench.answer(orders.recv()))
            if not number % ORDERS_BETWEEN_TRIMS:
                memory.give_back()


class _Bench:
    """The states, by number."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._held: Lru[int, _Held] = Lru(BYTES_UNPACKED)
        self._packed: dict[int, _Held] = {}
        self._tables: weakref.WeakValueDictionary[str, LayerTable] = weakref.WeakValueDictionary()

    def answer(self, order: _Order) -> Judged | Exception:
        """Carry out an order."""
        for number in order.released:
            if self._held.pop(number) is None:
                self._packed.pop(number, None)
        try:
            return self._carry_out(order)
        except UnfitError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            return RuntimeError(Failure.of(error).trace)  # not every exception can travel

    def _carry_out(self, order: _Order) -> Judged:
        if isinstance(order.base, Birth):
            birth = replace(order.base, layers=self._shared(order.base.layers))
            state, layers = born(self._fold, birth), birth.layers
        else:
            state, layers = self._state(order.base)
        parts: list[Part] = []
        for frame, table, lengths in order.parts:
            layers = layers if table is None else self._shared(table)
            parts.append(Part(frame, layers, lengths))
        found = judge(self._fold, state, parts, pack=order.pack)
        self._keep(order.target, cast(WriterState, found.state), layers)
        return replace(found, state=None)

    def _keep(self, number: int, state: WriterState, layers: LayerTable) -> None:
        """States that were not used for longest are packed to make room."""
        for cold, held in self._held.put(number, _Held(state, layers), state.size):
            packed = None if held.state is None else checkpoint.pack(held.state)
            self._packed[cold] = held if packed is None else _Held(None, held.layers, packed)

    def _state(self, number: int) -> tuple[WriterState, LayerTable]:
        held = self._held.get(number) or self._packed[number]
        state = held.state or checkpoint.unpack(held.packed, held.layers)
        return cast(WriterState, state), held.layers

    def _shared(self, layers: LayerTable) -> LayerTable:
        """The one object that stands for all equal tables."""
        return self._tables.setdefault(layers.hash, layers)
