"""Decides, outside a transaction, what each channel is to be told of the runs that have changed."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection

from gradwatch_service.delivery.consideration import Situation, Step, consider
from gradwatch_service.errors import ServiceError
from gradwatch_service.notify.policy import Timing
from gradwatch_service.store import (
    alerts,
    changes,
    channels,
    deliveries,
    notices,
    run_names,
    runs,
    silences,
)
from gradwatch_service.store.changes import Changed
from gradwatch_service.store.channels import ChannelRow
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.store.notices import Notice
from gradwatch_service.store.run_names import RunName
from gradwatch_service.store.silences import Silence

log = logging.getLogger(__name__)

RUNS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written for one run, in one transaction."""

    run_id: uuid.UUID
    changes: tuple[Changed, ...]
    steps: tuple[Step, ...]
    now: dt.datetime

    def write(self, connection: Connection) -> None:
        """Write it; a Conflict says that what it was based on has moved."""
        if not runs.hold(connection, self.run_id):
            runs.remove_rows(connection, self.run_id)
            return
        for step in self.steps:
            notices.move(connection, step.notice)
            if step.superseded is not None:
                deliveries.supersede(connection, step.superseded, self.now)
            if step.added is not None:
                deliveries.add(connection, step.added)
        changes.considered(connection, self.changes)


def plans(connection: Connection, now: dt.datetime, timing: Timing) -> tuple[Plan, ...]:
    """What is to be written now, for each run that has changed or is due."""
    changed = changes.waiting(connection, RUNS_AT_ONCE)
    due = notices.due(connection, now, RUNS_AT_ONCE)
    run_ids = sorted({one.run_id for one in changed} | set(due))
    if not run_ids:
        return ()
    overview = Overview(connection, tuple(run_ids), now, timing)
    made = (_planned(overview, run_id, changed) for run_id in run_ids)
    return tuple(plan for plan in made if plan is not None)


def _planned(overview: Overview, run_id: uuid.UUID, changed: Sequence[Changed]) -> Plan | None:
    """What is to be written for a run; None: it cannot be planned, which must not stop others."""
    try:
        steps = overview.steps(run_id)
    except ServiceError:
        raise
    except Exception:
        log.exception("run %s cannot be planned", run_id)
        return None
    return Plan(run_id, tuple(one for one in changed if one.run_id == run_id), steps, overview.now)


@dataclass(frozen=True)
class Overview:
    """Reads what several runs need with one query each."""

    connection: Connection
    run_ids: tuple[uuid.UUID, ...]
    now: dt.datetime
    timing: Timing

    def steps(self, run_id: uuid.UUID) -> tuple[Step, ...]:
        """What changes for each channel that knows of the run, or should."""
        run = self._runs.get(run_id)
        if run is None:
            return ()
        bodies = [alert.body for alert in self._alerts.get(run_id, {}).values()]
        situation = Situation(run, bodies, self._silences[run.project], self.now, self.timing)
        return tuple(
            step
            for notice, row in self._listeners(run)
            if (step := self._step(situation, notice, row)) != Step(notice)
        )

    def _step(self, situation: Situation, notice: Notice, row: ChannelRow | None) -> Step:
        pending = self._pending.get((notice.run_id, notice.channel_id))
        return consider(situation, notice, pending, row)

    def _listeners(self, run: RunName) -> Iterator[tuple[Notice, ChannelRow | None]]:
        """Every channel of the project, and those that are no more but were told something."""
        rows = {row.channel_id: row for row in self._channels[run.project]}
        known = {key: one for (run_id, key), one in self._notices.items() if run_id == run.run_id}
        for key in sorted(rows.keys() | known.keys()):
            yield known.get(key, Notice(run.run_id, key, run.project)), rows.get(key)

    @cached_property
    def _runs(self) -> Mapping[uuid.UUID, RunName]:
        return run_names.of_runs(self.connection, self.run_ids)

    @cached_property
    def _alerts(self) -> Mapping[uuid.UUID, Mapping[str, alerts.Kept]]:
        return alerts.of_runs(self.connection, self.run_ids)

    @cached_property
    def _notices(self) -> Mapping[tuple[uuid.UUID, uuid.UUID], Notice]:
        return notices.of_runs(self.connection, self.run_ids)

    @cached_property
    def _pending(self) -> Mapping[tuple[uuid.UUID, uuid.UUID], Delivery]:
        return deliveries.pending_of_runs(self.connection, self.run_ids)

    @cached_property
    def _projects(self) -> frozenset[str]:
        return frozenset(run.project for run in self._runs.values())

    @cached_property
    def _channels(self) -> Mapping[str, tuple[ChannelRow, ...]]:
        return {name: channels.of_project(self.connection, name) for name in self._projects}

    @cached_property
    def _silences(self) -> Mapping[str, tuple[Silence, ...]]:
        return {name: silences.active(self.connection, self.now, name) for name in self._projects}
