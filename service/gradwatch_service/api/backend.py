"""What the routes stand on: the database to read, the writer to change it, limits and a clock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine

from gradwatch_service.api.pace import Pace
from gradwatch_service.api.waiting import Answers
from gradwatch_service.clock import Clock
from gradwatch_service.errors import Unavailable
from gradwatch_service.ingest.backtest_process import Rehearsals
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.meters import Meters
from gradwatch_service.notify.outgoing import Outgoing
from gradwatch_service.settings import Settings
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.database import DISK_FULL, unavailable_when_down

T = TypeVar("T")

TESTS_A_MINUTE = 5  # test messages of a project


@dataclass(frozen=True, slots=True)
class Backend:
    """One per process; made by the composition root."""

    engine: Engine
    writer: Writer
    settings: Settings
    clock: Clock
    ballast: Ballast
    answers: Answers = field(init=False)
    outgoing: Outgoing = field(init=False)
    tests: Pace = field(init=False)
    rehearsals: Rehearsals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outgoing", Outgoing.of(self.settings))
        object.__setattr__(self, "tests", Pace(TESTS_A_MINUTE, 60.0))
        object.__setattr__(self, "answers", Answers(self.settings.handler_deadline_seconds))
        object.__setattr__(self, "rehearsals", Rehearsals(self.settings.database_url))

    @property
    def meters(self) -> Meters:
        """What this process counts of itself."""
        return self.writer.meters

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for one consistent read.

        Raises:
            Unavailable: the database does not answer.
        """
        with unavailable_when_down(), self.engine.connect() as connection:
            yield connection

    def write(self, command: Callable[[Connection], T]) -> T:
        """Run a command in the writer's next transaction; returns after its commit."""
        return self.wait(self.writer.run(command))

    def judged(self, run_id: uuid.UUID) -> None:
        """Return when everything stored of a run through this process is judged."""
        self.wait(self.writer.judge(run_id))

    def delete(self, command: Callable[[Connection], T]) -> T:
        """The same for a command that makes room: a full disk does not stop it."""
        try:
            return self.write(command)
        except Unavailable as error:
            if error.code != DISK_FULL or not self.ballast.release():
                raise
            return self.write(command)

    def wait(self, future: Future[T]) -> T:
        """Wait, in a thread, for what was handed to the writer."""
        try:
            return future.result(self.settings.handler_deadline_seconds)
        except TimeoutError as error:
            raise _overdue() from error

    async def stored(self, future: Future[T]) -> T:
        """Wait, without a thread, for what was handed to the writer."""
        try:
            return await self.answers.to(future)
        except TimeoutError as error:  # it may still commit; then the same again is a duplicate
            raise _overdue() from error


def _overdue() -> Unavailable:
    return Unavailable("the write did not commit in time; send the same again", code="overdue")


def backend_of(request: Request) -> Backend:
    """The backend of the application that serves this request."""
    backend: Backend = request.app.state.backend
    return backend


async def _backend(request: Request) -> Backend:  # async: not worth a thread
    return backend_of(request)


Served = Annotated[Backend, Depends(_backend)]
