"""Watches the database for all who listen to this process, and only while somebody does."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

from gradwatch_service.api.alert_views import muted
from gradwatch_service.api.answers import encode
from gradwatch_service.api.backend import Backend
from gradwatch_service.api.listener import Listener
from gradwatch_service.api.sightings import CAUGHT_UP_MOST, Sightings
from gradwatch_service.errors import ServiceError, Unavailable
from gradwatch_service.store import alerts, pulse, runs
from gradwatch_service.store.codec import Json
from gradwatch_service.store.pulse import Key, Kind, Look

T = TypeVar("T")

BEAT_SECONDS: Final = 0.5
# Looking is to take this share of a core: where there is very much to see, it is done less often.
SHARE: Final = 0.05
BEAT_SECONDS_MOST: Final = 2.0
CROWD_SECONDS: Final = 0.05

log = logging.getLogger(__name__)


class Live:
    """One per process; belongs to the event loop. Its context ends when the process does."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._listeners: set[Listener] = set()
        self._sightings = Sightings()
        self._joined = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._limiter = CapacityLimiter(1)  # a thread of its own, beside those of the routes
        self._is_closed = False
        self._spent = 0.0  # seconds of a core, in this beat

    async def __aenter__(self) -> Live:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if self._watching is not None:
            await asyncio.wait({self._watching})

    def join(self, project: str | None, run_id: uuid.UUID | None, since: int | None) -> Listener:
        """Begin to listen.

        Raises:
            Unavailable: too many do, or the service is stopping.
        """
        if self._is_closed:
            raise Unavailable("the service is stopping; come again")
        self._require_room(project)
        listener = Listener(project, run_id, since)
        self._listeners.add(listener)
        self._joined.set()
        self._count()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        return listener

    def _require_room(self, project: str | None) -> None:
        """One project may have half of all streams, so that it cannot keep the others out."""
        most = self._backend.settings.live_streams_max
        theirs = sum(one.project == project for one in self._listeners)
        is_full = len(self._listeners) >= most
        if is_full or (project is not None and theirs >= max(most // 2, 1)):
            open_ones = f"{most} streams" if is_full else f"{theirs} streams of this project"
            raise Unavailable(
                f"{open_ones} of events are open: close some, or read lists now and then",
                code="too-many-streams",
                retry_after_seconds=10.0,
            )

    def leave(self, listener: Listener) -> None:
        """Listen no longer."""
        self._listeners.discard(listener)
        self._count()
        if not self._listeners:
            self._joined.set()  # whoever watches may go

    def close(self) -> None:
        """End all streams, and let none begin."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()
        self._joined.set()

    def _count(self) -> None:
        self._backend.meters.listeners.set(len(self._listeners))

    async def _watch(self) -> None:
        try:
            while self._listeners and not self._is_closed:
                self._joined.clear()
                self._spent = 0.0
                try:
                    await self._beat()
                except ServiceError as error:  # the database is away; streams wait for it
                    log.info("nobody can be told what is new: %s", error)
                await self._pause(min(max(BEAT_SECONDS, self._spent / SHARE), BEAT_SECONDS_MOST))
        finally:
            for listener in self._listeners:  # none is left, unless this ends by a mistake of ours
                listener.close()

    async def _pause(self, seconds: float) -> None:
        """Less for those who have just come; they come in crowds."""
        await asyncio.sleep(CROWD_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._joined.wait(), seconds - CROWD_SECONDS)

    async def _beat(self) -> None:
        """Look, compare, read what has changed and is wanted, and tell everybody."""
        since, keys = self._sightings.begin(self._backend.clock()), self._sightings.keys
        is_anew = self._sightings.is_anew
        look, began, ended = await self._apart(partial(self._look, since, keys))
        gone = self._sightings.note(look, began, ended)
        due = self._sightings.due(began)
        if is_anew:
            self._reset_all()
        wanted = {one: self._wanted(one, due, gone) for one in self._listeners}
        texts = await self._apart(partial(self._read, set(chain(*wanted.values()))))
        through = self._sightings.told(due, began)
        for one, keys in wanted.items():
            one.tell([(key, texts[key]) for key in keys if key in texts], through)

    def _reset_all(self) -> None:
        """What was told before is not known any more; who has just come asks anew anyway."""
        for listener in self._listeners:
            if not listener.is_new:
                listener.reset()

    def _wanted(self, listener: Listener, due: list[Key], gone: set[str]) -> list[Key]:
        """What to tell one who listens; who cannot be told all they missed reads lists anew."""
        missed: list[Key] | None = []
        if listener.is_new:
            missed = self._sightings.changed_since(listener.since, listener.project, listener.wants)
        if missed is None or (gone if listener.project is None else listener.project in gone):
            listener.reset()
        told = dict.fromkeys((*due, *(missed or ())))
        wanted = [key for key in told if listener.wants(self._sightings.sight(key))]
        if len(wanted) <= CAUGHT_UP_MOST:
            return wanted
        listener.reset()
        return []

    async def _apart(self, work: Callable[[], T]) -> T:
        def timed() -> T:
            begun = time.thread_time()
            try:
                return work()
            finally:
                self._spent += time.thread_time() - begun

        return await to_thread.run_sync(timed, limiter=self._limiter)

    def _look(self, since: dt.datetime, keys: list[Key]) -> tuple[Look, dt.datetime, dt.datetime]:
        began = self._backend.clock()
        with self._backend.reading() as connection:
            look = pulse.look(connection, began, since, keys)
        return look, began, self._backend.clock()

    def _read(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """The events of those that are still there."""
        ids: dict[Kind, list[uuid.UUID]] = {"run": [], "alert": []}
        for kind, identity in keys:
            ids[kind].append(identity)
        texts: dict[Key, bytes] = {}
        with self._backend.reading() as connection:
            for some in _parts(ids["run"]):
                for run in runs.named(connection, some):
                    texts["run", _id(run)] = _event("run", run)
            for some in _parts(ids["alert"]):
                found = alerts.named(connection, some)
                for alert in muted(connection, found, self._backend.clock(), None):
                    texts["alert", _id(alert)] = _event("alert", alert)
        return texts


def _parts(ids: list[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    """As many at once as a query may ask for."""
    for first in range(0, len(ids), pulse.IDS_AT_ONCE):
        yield ids[first : first + pulse.IDS_AT_ONCE]


def _id(body: Json) -> uuid.UUID:
    return uuid.UUID(str(body["id"]))


def _event(name: Kind, body: Json) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode(body))
