"""A judge in a process of its own, so that judging does not take turns with storing.

The states stay there; here they are numbers that count as held for as long as somebody knows them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from multiprocessing.connection import wait
from typing import NamedTuple, cast

from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Birth, Judged, Part, State, Task, born, judge


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


class ProcessJudge:
    """To be used by one thread. The process ends with this one, however this one ends."""

    def __init__(self) -> None:
        self._numbers = count()
        self._released: deque[int] = deque()
        self._pool = _pool()

    def submit(self, tasks: Sequence[Task]) -> Future[list[Judged]]:
        """Have tasks judged."""
        targets = [self._target(task) for task in tasks]
        orders = [_order(task, target) for task, target in zip(tasks, targets, strict=True)]
        released = [self._released.popleft() for _ in range(len(self._released))]
        answer: Future[list[Judged]] = Future()
        sent = self._pool.submit(_work, orders, released)
        # The tasks are named to be kept: what they are based on must not be released before.
        sent.add_done_callback(partial(_pass_on, answer, targets, tasks))
        return answer

    def renew(self) -> None:
        """Begin again without any state."""
        self.close()
        self._released.clear()
        self._pool = _pool()

    def close(self) -> None:
        """Finish what is under way, end the process."""
        self._pool.shutdown()

    def _target(self, task: Task) -> _Remote:
        newest = task.parts[-1].layers.hash if task.parts else _known(task.base)
        remote = _Remote(next(self._numbers), newest)
        weakref.finalize(remote, self._released.append, remote.number).atexit = False
        return remote


def _pool() -> ProcessPoolExecutor:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)
    pool.submit(_work, (), ())  # so that the process starts now
    return pool


def _remote(state: State) -> _Remote:
    return cast(_Remote, state)


def _order(task: Task, target: _Remote) -> _Order:
    base = task.base
    known = _known(base)
    parts: list[tuple[Frame, LayerTable | None, tuple[int, ...]]] = []
    for frame, layers, lengths in task.parts:
        parts.append((frame, None if layers.hash == known else layers, lengths))
        known = layers.hash
    begin = base if isinstance(base, Birth) else _remote(base).number
    return _Order(begin, target.number, parts, task.pack)


def _known(base: State | Birth) -> str:
    """The hash of the table that a state has already."""
    return base.layers.hash if isinstance(base, Birth) else _remote(base).layers_hash


def _pass_on(
    answer: Future[list[Judged]],
    targets: Sequence[_Remote],
    _: Sequence[Task],
    sent: Future[list[Judged]],
) -> None:
    error = sent.exception()
    if error is not None:
        answer.set_exception(error)
        return
    found = zip(sent.result(), targets, strict=True)
    answer.set_result([replace(one, state=target) for one, target in found])


# From here on: in the judge's process.


class _Held(NamedTuple):
    """A state, and the layer table that its reports had last."""

    state: WriterState
    layers: LayerTable


_held: dict[int, _Held] = {}
_tables: weakref.WeakValueDictionary[str, LayerTable] = weakref.WeakValueDictionary()
_FOLD = Fold()


def _begin() -> None:
    """An interrupt from the keyboard is for the parent, and without a parent there is no work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def _work(orders: Sequence[_Order], released: Sequence[int]) -> list[Judged]:
    for number in released:
        _held.pop(number, None)
    return [_carry_out(order) for order in orders]


def _carry_out(order: _Order) -> Judged:
    if isinstance(order.base, Birth):
        birth = replace(order.base, layers=_shared(order.base.layers))
        state, layers = born(_FOLD, birth), birth.layers
    else:
        state, layers = _held[order.base]
    parts: list[Part] = []
    for frame, table, lengths in order.parts:
        layers = layers if table is None else _shared(table)
        parts.append(Part(frame, layers, lengths))
    found = judge(_FOLD, state, parts, pack=order.pack)
    _held[order.target] = _Held(cast(WriterState, found.state), layers)
    return replace(found, state=None)


def _shared(layers: LayerTable) -> LayerTable:
    """The one object that stands for all equal tables."""
    return _tables.setdefault(layers.hash, layers)
