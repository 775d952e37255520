"""Channels of a project: added, tested, switched on and off, deleted; never shown with secrets."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnProject
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Principal, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import reader
from gradwatch_service.api.channel_shapes import Channel, ChannelBody, ChannelChanges, Delivered
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.api.shapes import Items
from gradwatch_service.errors import NotDelivered
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.channels import check, masked, open_channel
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.options import Options
from gradwatch_service.store import audit, channels, letters
from gradwatch_service.store.channels import ChannelRow
from gradwatch_service.store.codec import Json, rfc3339, uuid7
from gradwatch_service.store.database_time import database_now

router = APIRouter(prefix="/projects/{project}/channels", tags=["channels"])


@router.get("", responses=answers({200: Items[Channel]}, 404))
@allows(READ, of=Owner.PATH)
def get_channels(project: OwnProject, backend: Served) -> Response:
    """List the channels of a project."""
    with backend.reading() as connection:
        found = channels.of_project(connection, project)
    return answer({"items": [_shown(row) for row in found], "next_cursor": None})


@router.post(
    "",
    status_code=201,
    openapi_extra=takes(ChannelBody),
    responses=answers({201: Channel}, 400, 404, 409, 413, 415, 422),
)
@allows(ADMIN, of=Owner.PATH)
def post_channel(
    project: OwnProject,
    body: Annotated[ChannelBody, Depends(reader(ChannelBody))],
    backend: Served,
    who: Who,
) -> Response:
    """Add a channel; the settings are checked, but nobody is told anything yet."""
    options = check(body.kind, body.settings, backend.outgoing)
    now = backend.clock()
    row = ChannelRow(
        project=project,
        channel_id=uuid7(now),
        name=body.name,
        kind=body.kind,
        settings=options.stored(),
        enabled=body.enabled,
        created_at=now,
        created_by=who.actor,
    )

    def add(connection: Connection) -> ChannelRow:
        made = channels.add(connection, row)
        _note(connection, made, who, "channel-made", now)
        return made

    return answer(_shown(backend.write(add)), 201)


@router.patch(
    "/{channel_id}",
    openapi_extra=takes(ChannelChanges),
    responses=answers({200: Channel}, 400, 404, 413, 415, 422),
)
@allows(ADMIN, of=Owner.PATH)
def patch_channel(
    project: OwnProject,
    channel_id: uuid.UUID,
    body: Annotated[ChannelChanges, Depends(reader(ChannelChanges))],
    backend: Served,
    who: Who,
) -> Response:
    """Rename a channel, switch it on or off, or give it other settings."""
    changes = body.model_dump(exclude_none=True)
    settings = body.settings
    checked = {}
    if settings is not None:
        checked = _checked(backend, _found(backend, project, channel_id), settings)

    def change(connection: Connection) -> ChannelRow:
        if settings is not None:
            row = channels.get(connection, project, channel_id)
            changes["settings"] = {**_kept(row, settings), **checked}
        changed = channels.change(connection, project, channel_id, changes)
        if not changed.enabled:
            now, why = database_now(connection), "the channel is switched off"
            letters.withdraw(connection, (project, channel_id), now, why)
        _note(connection, changed, who, "channel-changed", backend.clock())
        return changed

    return answer(_shown(backend.write(change)))


@router.delete("/{channel_id}", status_code=204, responses=answers({}, 404))
@allows(ADMIN, of=Owner.PATH)
def delete_channel(
    project: OwnProject, channel_id: uuid.UUID, backend: Served, who: Who
) -> Response:
    """Delete a channel."""

    def remove(connection: Connection) -> None:
        row = channels.get(connection, project, channel_id)
        _note(connection, row, who, "channel-deleted", backend.clock())
        channels.remove(connection, project, channel_id)

    backend.delete(remove)
    return Response(status_code=204)


@router.post("/{channel_id}/test", responses=answers({200: Delivered}, 404, 429, 502))
@allows(ADMIN, of=Owner.PATH)
def post_test(project: OwnProject, channel_id: uuid.UUID, backend: Served) -> Response:
    """Send a test message at once, and say whether it was taken; five a minute and project."""
    row = _found(backend, project, channel_id)
    backend.tests.take(project)
    try:
        open_channel(row.kind, row.settings, backend.outgoing).deliver(_test_message(backend, row))
    except UndeliveredError as error:
        raise NotDelivered(error.detail) from error
    return answer({"delivered": True})


def _note(
    connection: Connection, row: ChannelRow, who: Principal, act: str, now: dt.datetime
) -> None:
    detail: Json = {"name": row.name, "kind": row.kind, "enabled": row.enabled}
    audit.note(connection, row.project, who.actor, act, str(row.channel_id), detail, now=now)


def _found(backend: Backend, project: str, channel_id: uuid.UUID) -> ChannelRow:
    with backend.reading() as connection:
        return channels.get(connection, project, channel_id)


def _kept(row: ChannelRow, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Common options go over what is stored; everything else replaces it."""
    return row.settings if given.keys() <= Options.model_fields.keys() else {}


def _checked(backend: Backend, row: ChannelRow, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be stored of the settings that are given, or of all of them."""
    kept = _kept(row, given)
    stored = check(row.kind, {**kept, **given}, backend.outgoing).stored()
    return {key: value for key, value in stored.items() if key in given or not kept}


def _test_message(backend: Backend, row: ChannelRow) -> Message:
    return Message(
        delivery_id=uuid7(backend.clock()),
        kind="test",
        project=row.project,
        run_id=None,
        run_name="",
        link="",
        subjects=(),
        at=backend.clock(),
    )


def _shown(row: ChannelRow) -> Json:
    return {
        "id": str(row.channel_id),
        "project": row.project,
        "name": row.name,
        "kind": row.kind,
        "settings": masked(row.kind, row.settings),
        "enabled": row.enabled,
        "created_at": rfc3339(row.created_at),
        "created_by": row.created_by,
    }
