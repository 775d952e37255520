"""Deliveries as OpenAPI shows them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Literal

from gradwatch_service.api.shapes import Shape


class DeliveryShape(Shape):
    """A message about a run, on its way to a channel; `message_id`: as the other side sees it."""

    id: uuid.UUID
    message_id: uuid.UUID
    run_id: uuid.UUID
    channel_id: uuid.UUID
    kind: Literal["firing", "resolved"]
    reason: str
    state: Literal["pending", "sent", "superseded", "dead"]
    attempts: int
    error: str
    created_at: dt.datetime
    due_at: dt.datetime
    settled_at: dt.datetime | None
