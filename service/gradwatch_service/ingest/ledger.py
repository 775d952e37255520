"""Everything a group will write, gathered first, then written with one statement per table."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from gradwatch_service.diagnose.acts import Act
from gradwatch_service.domain import AlertEvent, LayerTable, alert_id
from gradwatch_service.store import (
    acts,
    alerts,
    detector_states,
    events,
    frames,
    handed,
    idempotency,
    layers,
    outbox,
    parts,
    transitions,
)
from gradwatch_service.store.alerts import Incident
from gradwatch_service.store.detector_states import Checkpoint
from gradwatch_service.store.frames import Identity
from gradwatch_service.store.outbox import Change
from gradwatch_service.store.parts import Contribution, Share

Row = Mapping[str, object]


@dataclass(slots=True)
class Ledger:
    """Rows to come; ``now`` is the time they all get.

    ``answered``: run and advice that was handed to the job;
    ``retracted``: transitions of a run's writer from a number on, which turned out otherwise.
    """

    now: dt.datetime
    frames: list[Row] = field(default_factory=list)
    ordinals: dict[Identity, int | None] = field(default_factory=dict)
    parts: dict[Share, Contribution] = field(default_factory=dict)
    moved_parts: dict[Share, int] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    moved: list[Incident] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    acts: list[tuple[uuid.UUID, uuid.UUID, Act]] = field(default_factory=list)
    answered: list[tuple[uuid.UUID, str]] = field(default_factory=list)
    retracted: list[tuple[uuid.UUID, str, int]] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    keys: dict[tuple[uuid.UUID, str], bytes] = field(default_factory=dict)
    tables: list[tuple[uuid.UUID, LayerTable]] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def add_transition(
        self, run_id: uuid.UUID, writer: str, number: int, event: AlertEvent
    ) -> None:
        """Note a transition of an alert; ``number`` counts those of the writer."""
        self.transitions.append(
            {
                "run_id": run_id,
                "writer": writer,
                "number": number,
                "alert_id": alert_id(run_id, event.cause),
                "cause": event.cause,
                "kind": event.kind,
                "step": event.step,
                "text": event.text,
                "at": self.now,
            }
        )

    def write(self, connection: Connection) -> None:
        """Insert and update it all."""
        for run_id, table in self.tables:
            layers.add(connection, run_id, table)
        frames.append(connection, self.frames)
        frames.set_ordinals(connection, self.ordinals)
        parts.move(connection, self.moved_parts)
        parts.save(connection, self.parts)
        alerts.save(connection, self.incidents)
        alerts.move(connection, self.moved)
        acts.add(connection, self.acts)
        handed.answer(connection, self.answered, self.now)
        outbox.note(connection, self.changes, self.now)
        transitions.retract(connection, self.retracted)
        transitions.add(connection, self.transitions)
        events.append(connection, self.events)
        idempotency.add(connection, self.keys, self.now)
        detector_states.save(connection, self.checkpoints)
