"""Keys of a project: made, listed, rotated, revoked by those who administer it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from gradwatch_service.api.access.headers import NOT_KEPT
from gradwatch_service.api.access.ownership import OwnProject
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, Principal, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import reader
from gradwatch_service.api.key_shapes import IssuedKey, KeyBody, KeyShape, RotationBody
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.api.shapes import Items
from gradwatch_service.errors import Forbidden
from gradwatch_service.store import keys
from gradwatch_service.store.keys import Admin, Issued, KeyRequest

router = APIRouter(prefix="/projects/{project}/keys", tags=["keys"])


@router.get("", responses=answers({200: Items[KeyShape]}, 404))
@allows(ADMIN, of=Owner.PATH)
def get_keys(project: OwnProject, backend: Served) -> Response:
    """List the keys of a project, the newest first; of none is its text shown."""
    now = backend.clock()
    with backend.reading() as connection:
        items = [key.as_json(now) for key in keys.of_project(connection, project)]
    return answer({"items": items, "next_cursor": None})


@router.post(
    "",
    status_code=201,
    openapi_extra=takes(KeyBody),
    responses=answers({201: IssuedKey}, 400, 404, 413, 415, 422),
)
@allows(ADMIN, of=Owner.PATH)
def post_key(
    project: OwnProject,
    body: Annotated[KeyBody, Depends(reader(KeyBody))],
    backend: Served,
    who: Who,
) -> Response:
    """Make a key; its text is in this answer and nowhere else."""
    admin = _admin(backend, who)
    days = body.expires_in_days
    expires_at = None if days is None else admin.now + dt.timedelta(days=days)
    request = KeyRequest(project, body.name, body.scopes, expires_at)
    return _shown_once(
        backend.write(lambda connection: keys.create(connection, request, admin)), admin
    )


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    openapi_extra=takes(RotationBody),
    responses=answers({201: IssuedKey}, 400, 404, 409, 413, 415, 422),
)
@allows(ADMIN, of=Owner.PATH)
def rotate_key(
    project: OwnProject,
    key_id: str,
    body: Annotated[RotationBody, Depends(reader(RotationBody))],
    backend: Served,
    who: Who,
) -> Response:
    """Make a key like this one; the old one is good for the grace period."""
    admin = _admin(backend, who)._replace(project=project)
    grace = dt.timedelta(seconds=body.grace_seconds)
    return _shown_once(
        backend.write(lambda connection: keys.rotate(connection, key_id, grace, admin)), admin
    )


@router.delete("/{key_id}", status_code=204, responses=answers({}, 404))
@allows(ADMIN, of=Owner.PATH)
def delete_key(project: OwnProject, key_id: str, backend: Served, who: Who) -> Response:
    """Revoke a key: within 5 s it opens nothing any more."""
    admin = _admin(backend, who)._replace(project=project)
    backend.write(lambda connection: keys.revoke(connection, key_id, admin))
    return Response(status_code=204)


def _admin(backend: Backend, who: Principal) -> Admin:
    """Who changes keys; in local mode, where nobody is known, that is for the command line."""
    if who.project is None:
        raise Forbidden(
            "without a key, keys are changed at the command line: gradwatch keys",
            code="command-line-only",
        )
    return Admin(who.actor, who.project, backend.clock())


def _shown_once(issued: Issued, admin: Admin) -> Response:
    shown = answer({**issued.key.as_json(admin.now), "key": issued.text}, 201)
    shown.headers.update(NOT_KEPT)
    return shown
