"""Silences: made, listed, and ended before their time."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnSilence
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Who
from gradwatch_service.api.alert_shapes import SilenceBody, SilenceShape
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.bodies import Name, reader
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.api.queries import ListParameters, page
from gradwatch_service.api.shapes import Items
from gradwatch_service.store import silences
from gradwatch_service.store.silences import SilenceState
from gradwatch_service.store.wording import invalid

router = APIRouter(prefix="/silences", tags=["alerts"])


class SilenceParameters(ListParameters):
    """Which silences to list."""

    project: Name | None = None
    state: SilenceState | None = None


@router.post(
    "",
    status_code=201,
    openapi_extra=takes(SilenceBody),
    responses=answers({201: SilenceShape}, 400, 413, 415, 422),
)
@allows(ADMIN, of=Owner.BODY)
def post_silence(
    body: Annotated[SilenceBody, Depends(reader(SilenceBody))], backend: Served, who: Who
) -> Response:
    """Tell nobody of some alerts for a while; they fire, and are shown, all the same."""
    who.claim(body.project)
    now = backend.clock()
    silence = body.as_silence(now)
    if silence is None:
        raise invalid("/ends_at", "no-time", "a silence ends after now, within 366 days")
    silence = replace(silence, created_by=who.signed(silence.created_by))
    backend.write(lambda connection: silences.add(connection, silence))
    return answer(silence.as_json(now), 201)


@router.get("", responses=answers({200: Items[SilenceShape]}, 404, 422))
@allows(READ, of=Owner.LIST)
def get_silences(
    backend: Served, wanted: Annotated[SilenceParameters, Query()], who: Who
) -> Response:
    """List silences, the newest first."""
    with backend.reading() as connection:
        return page(
            silences.list_silences(
                connection,
                backend.clock(),
                project=who.narrow(wanted.project),
                state=wanted.state,
                cursor=wanted.cursor,
                limit=wanted.limit,
            )
        )


@router.delete("/{silence_id}", status_code=204, responses=answers({}, 404))
@allows(ADMIN, of=Owner.SILENCE)
def delete_silence(silence_id: OwnSilence, backend: Served) -> Response:
    """End a silence now; it stays in the list as expired."""
    now = backend.clock()
    backend.write(lambda connection: silences.expire(connection, silence_id, now))
    return Response(status_code=204)
