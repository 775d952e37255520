"""A push in its place within a group, and the receipt it will get when the group is stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from gradwatch_service.domain import JsonValue
from gradwatch_service.ingest.pushes import Receipt
from gradwatch_service.ingest.run_view import RunDraft, RunView
from gradwatch_service.ingest.sequence import Position
from gradwatch_service.ingest.stream import Stream


@dataclass(frozen=True, slots=True)
class Placed:
    """``position``: where the stream stood right after the push; ``is_new``: it was stored now."""

    run: RunDraft
    stream: Stream
    accepted: int
    duplicates: int
    position: Position
    is_new: bool = False
    rejections: tuple[Mapping[str, JsonValue], ...] = field(default=())

    def receipt(self, view: RunView, causes: frozenset[str], now: dt.datetime) -> Receipt:
        """The answer, with the alerts of these causes and the guard as the group leaves them."""
        return Receipt(
            status="stored" if self.is_new else "duplicate",
            accepted=self.accepted,
            duplicates=self.duplicates,
            contiguous_through=self.position.next_seq - 1,
            health=view.health,
            guard=self.stream.guard,
            server_time=now,
            alerts=tuple(
                view.alerts[cause].body
                for cause in sorted(causes | self.run.common | self.run.view.outdated)
                if cause in view.alerts
            ),
            advice=view.advice,
            rejections=self.rejections,
            gaps=self.position.gaps(),
        )
