"""What a project's channels were told, or are to be told; and what was given up, once more."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnProject
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.delivery_shapes import DeliveryShape
from gradwatch_service.api.operations import answers
from gradwatch_service.api.queries import ListParameters, page
from gradwatch_service.api.shapes import Items
from gradwatch_service.store import audit, letters
from gradwatch_service.store.codec import Json
from gradwatch_service.store.database_time import database_now
from gradwatch_service.store.deliveries import DeliveryState

router = APIRouter(prefix="/projects/{project}/deliveries", tags=["channels"])


class DeliveryParameters(ListParameters):
    """Which deliveries to list."""

    state: DeliveryState | None = None


@router.get("", responses=answers({200: Items[DeliveryShape]}, 404, 422))
@allows(READ, of=Owner.PATH)
def get_deliveries(
    project: OwnProject, backend: Served, wanted: Annotated[DeliveryParameters, Query()]
) -> Response:
    """List what was sent, is to be sent, or was given up (`state=dead`), the newest first."""
    with backend.reading() as connection:
        found = letters.list_deliveries(
            connection, project, wanted.state, wanted.cursor, wanted.limit
        )
    return page(found)


@router.post("/{delivery_id}/replay", responses=answers({200: DeliveryShape}, 404, 409))
@allows(ADMIN, of=Owner.PATH)
def post_replay(project: OwnProject, delivery_id: uuid.UUID, backend: Served, who: Who) -> Response:
    """Send a dead letter once more, under the same id and with all its retries."""

    def replay(connection: Connection) -> Json:
        now = database_now(connection)
        sent = letters.replay(connection, project, delivery_id, now)
        audit.note(
            connection, project, who.actor, "delivery-replayed", str(delivery_id), {}, now=now
        )
        return sent

    return answer(backend.write(replay))
