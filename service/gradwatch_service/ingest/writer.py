"""The one thread of a process that writes: commits what is queued as a group, then answers."""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from gradwatch_service.clock import Clock, utc_now
from gradwatch_service.errors import ServiceError, Unavailable
from gradwatch_service.ingest.docket import Docket
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.job import Job
from gradwatch_service.ingest.judge import Judge, JudgeLostError, OwnJudge
from gradwatch_service.ingest.load import Load
from gradwatch_service.ingest.outcomes import outcome_of
from gradwatch_service.ingest.paths import place
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.pushes import (
    FramePush,
    Judgement,
    Push,
    Receipt,
    Verdict,
)
from gradwatch_service.ingest.settlement import settle
from gradwatch_service.ingest.sources import Memory, Sources
from gradwatch_service.meters import Meters
from gradwatch_service.store.database import RETRY_AFTER_SECONDS, for_writing, unavailable_when_down

T = TypeVar("T")

# How often a group begins again because another process moved one of its streams or runs.
TRIES = 8
# After so long without work what waits to be judged is judged, so many runs at a time.
QUIET_SECONDS = 0.005
JUDGED_AT_ONCE = 16
CONTENDED = "contended"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the writer takes on."""

    jobs_in_group: int = 256
    bytes_in_group: int = 32 * 2**20
    jobs_in_queue: int = 4_096
    stream_bytes_in_memory: int = 448 * 2**20


DEFAULT_LIMITS = Limits()
REAL_FOLD = Fold()


class Writer:
    """Everything that writes goes through here.

    On SQLite there is one per database, on PostgreSQL any number. Acknowledged means committed.
    Errors are ``ServiceError`` on the future; ``Unavailable`` when the database or the queue
    cannot take it now. ``judge``: who judges, by default this thread; the writer closes it.
    ``left``: runs of which an earlier process left reports to be judged. ``load`` tells how busy
    it is, ``meters`` count what it does.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock = utc_now,
        limits: Limits = DEFAULT_LIMITS,
        fold: Fold = REAL_FOLD,
        judge: Judge | None = None,
        left: Iterable[uuid.UUID] = (),
    ) -> None:
        self._engine = for_writing(engine)
        self._clock = clock
        self._limits = limits
        self._fold = fold
        self._judge = judge or OwnJudge(fold)
        self._memory = Memory(limits.stream_bytes_in_memory)
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._docket = Docket(self._judge, self._memory, self._take_back)
        self._thread = threading.Thread(target=self._serve, name="gradwatch-writer", daemon=True)
        self._closing = threading.Lock()
        self._closed = False
        self.load = Load()
        self.meters = Meters()
        self._held: list[Job] = []  # pushes to streams of which too much waits to be judged
        self._unjudged = dict.fromkeys(left)  # runs, in the order in which they began to wait

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Refuse new work, finish what is queued, end the thread."""
        with self._closing:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def submit(self, push: Push) -> Future[Receipt]:
        """Queue a push; the future resolves after its transaction has committed."""
        return self._enqueue(push)

    def run(self, command: Callable[[Connection], T]) -> Future[T]:
        """Queue any other write, which gets a savepoint of its own in the group's transaction."""
        return self._enqueue(command)

    def _enqueue(self, work: Push | Callable[[Connection], T]) -> Future[Any]:
        job = Job(work, Future())
        with self._closing:
            if self._closed:
                job.answer(_busy("the service is stopping; send the same again"))
            elif self._queue.qsize() >= self._limits.jobs_in_queue:
                job.answer(_busy("too much is waiting to be written; send the same again"))
            else:
                self._queue.put(job)
        return job.future

    def judge(self, run_id: uuid.UUID) -> Future[None]:
        """Have judged what is stored of a run; done at once if nothing of it waits here."""
        if run_id in self._unjudged:
            return self._enqueue(Judgement(run_id))
        nothing: Future[None] = Future()
        nothing.set_result(None)
        return nothing

    def _serve(self) -> None:
        while (first := self._next()) is not None:
            if self._judge.is_lost:
                self._docket.renew()
            with self.load.measured():
                self._work_on(self._gather(first))
                if self._held and not self._docket.under_way:  # no verdict will come to free them
                    self._work_on([])
            self.meters.queue.set(self._queue.qsize())
            self.meters.backlog.set(self._docket.backlog)
        self._settle(self._held)
        while self._unjudged:
            self._judge_some()
        self._judge.close()

    def _work_on(self, jobs: list[Job]) -> None:
        self._settle(self._ready(jobs))
        self._docket.hand_out()

    def _next(self) -> Job | None:
        """The next job; meanwhile what waits is judged. None: there will be no more."""
        while self._unjudged and not self._docket.under_way:
            with suppress(queue.Empty):
                return self._queue.get(timeout=QUIET_SECONDS)
            self._judge_some()
        return self._queue.get()

    def _ready(self, jobs: list[Job]) -> list[Job]:
        """Those that can be done now, in order; the others are held until more is judged."""
        taken = [*self._held, *(job for job in jobs if job.future.set_running_or_notify_cancel())]
        for job in taken:
            if isinstance(job.work, Verdict):
                self._docket.returned(job.work)
        full = {id(job) for job in taken if self._must_wait(job.work)}
        self._held = [job for job in taken if id(job) in full]
        return sorted((job for job in taken if id(job) not in full), key=Job.rank)

    def _must_wait(self, work: object) -> bool:
        return isinstance(work, FramePush) and self._docket.is_full((work.run_id, work.writer))

    def _take_back(self, work: Verdict | Callable[[Connection], None]) -> None:
        """Queue what came of judging; called by whatever thread."""
        self._queue.put(Job(work, Future()))

    def _judge_some(self) -> None:
        """Judge what waits in the runs that have waited longest; whatever comes of it."""
        runs = list(islice(self._unjudged, JUDGED_AT_ONCE))
        self._settle([Job(Judgement(run_id), Future()) for run_id in runs])
        for run_id in runs:
            self._unjudged.pop(run_id, None)

    def _gather(self, first: Job) -> list[Job]:
        jobs, size = [first], first.bytes
        while len(jobs) < self._limits.jobs_in_group and size < self._limits.bytes_in_group:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:  # nothing comes after it; ``_serve`` shall see it
                self._queue.put(None)
                break
            jobs.append(job)
            size += job.bytes
        return jobs

    def _settle(self, jobs: list[Job]) -> None:
        """Answer every job.

        If they fail together, each is tried alone: a bad one fails only itself. When the database
        is away, all fail at once.
        """
        if not jobs:
            return
        answers = outcome_of(self._commit, jobs)
        if isinstance(answers, list):
            for job, answer in zip(jobs, answers, strict=True):
                job.answer(answer)
        elif len(jobs) == 1 or _is_outage(answers):
            for job in jobs:
                job.answer(answers)
        else:
            for job in jobs:
                self._settle([job])

    def _commit(self, jobs: list[Job]) -> list[object]:
        trouble = "others keep writing to the same run"
        with unavailable_when_down():
            for attempt in range(TRIES):
                try:
                    answers = self._transaction(jobs, verify=attempt > 0)
                except IntegrityError:  # another process inserted the same first
                    continue
                except JudgeLostError:
                    log.exception("the judge was lost; another begins")
                    trouble = "what judges keeps ending"
                    self._docket.renew()
                    continue
                if answers is not None:
                    return answers
        raise _busy(f"{trouble}; send the same again", code=CONTENDED)

    def _note_unjudged(self, pushes: Sequence[Push], group: Group) -> None:
        """A run leaves only when all its streams were looked at: one push touches but one."""
        self._docket.note(group.streams)
        for push in pushes:
            if isinstance(push, Judgement):
                self._unjudged.pop(push.run_id, None)
        for (run_id, _), stream in group.streams:
            if stream.unjudged:
                self._unjudged[run_id] = None

    def _transaction(self, jobs: list[Job], *, verify: bool) -> list[object] | None:
        """One try; None if another process was faster and it has to begin again."""
        now, begun = self._clock(), perf_counter()
        pushes = [job.work for job in jobs if not callable(job.work)]
        with self._engine.connect() as connection:
            done = [_command(connection, job.work) for job in jobs if callable(job.work)]
            sources = Sources(connection, self._memory, self._fold, self._judge, verify)
            group = Group(sources, pushes, now)
            placed = [place(group, push) for push in pushes]
            if not all(map(group.is_sure, pushes, placed)):
                return None
            if not settle(group):
                return None
            connection.commit()
        self._count(group, len(jobs), perf_counter() - begun)
        self._docket.keep(group.install(self._memory))
        self._note_unjudged(pushes, group)
        return done + [_answer(group, outcome) for outcome in placed]

    def _count(self, group: Group, jobs: int, seconds: float) -> None:
        stored = [arrival.frame for run in group.touched for arrival in run.arrivals.values()]
        self.meters.group.observe(jobs)
        self.meters.commit.observe(seconds)
        self.meters.reports.inc(sum(map(len, stored)))
        self.meters.floats.inc(sum(frame.numbers for frame in stored))


def _answer(group: Group, outcome: Placed | ServiceError | None) -> object:
    if outcome is None or isinstance(outcome, ServiceError):
        return outcome
    return outcome.receipt(group.view(outcome.run), group.told_to(outcome), group.ledger.now)


def _command(connection: Connection, command: Callable[[Connection], object]) -> object:
    try:
        with connection.begin_nested():
            return command(connection)
    except ServiceError as error:
        return error


def _busy(detail: str, *, code: str | None = None) -> Unavailable:
    return Unavailable(detail, code=code, retry_after_seconds=RETRY_AFTER_SECONDS)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, Unavailable) and error.code != CONTENDED
