"""The sessions of the dashboards: a key signs somebody in, a cookie says so from then on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from gradwatch_service.api.access import cookie
from gradwatch_service.api.access.credentials import Credentials, in_force
from gradwatch_service.api.access.headers import NOT_KEPT
from gradwatch_service.api.access.policy import Owner, allows, public
from gradwatch_service.api.access.principal import READ, Principal, Who, principal_of
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import reader
from gradwatch_service.api.key_shapes import SessionBody, SessionShape
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.errors import Forbidden, Unauthorized
from gradwatch_service.store import keys, sessions
from gradwatch_service.store.key_text import digest_of, key_id_of
from gradwatch_service.store.keys import Key

router = APIRouter(prefix="/session", tags=["session"])


@router.post(
    "",
    status_code=201,
    openapi_extra=takes(SessionBody),
    responses=answers({201: SessionShape}, 400, 401, 403, 413, 415, 422, 429),
)
@public
def post_session(
    body: Annotated[SessionBody, Depends(reader(SessionBody))], backend: Served
) -> Response:
    """Sign in with a key that may read; the answer sets the cookie of the session."""
    now = backend.clock()
    key = _key(backend, body.key)
    who = principal_of(key)
    if READ not in who.scopes:
        raise Forbidden(
            "this key may only report: sign in with one that may read", code="wrong-scope"
        )
    begun = backend.write(lambda connection: sessions.begin(connection, key, who.actor, now))
    said = _said(who, 201)
    seconds = int((begun.expires_at - now).total_seconds())
    cookie.put(said, backend.settings, begun.token, seconds)
    return said


@router.get("", responses=answers({200: SessionShape}))
@allows(of=Owner.NOBODY)
async def get_session(who: Who) -> Response:
    """Say who asks, be it by a key or by a session."""
    return _said(who, 200)


@router.delete("", status_code=204, responses=answers({}))
@allows(of=Owner.NOBODY)
def delete_session(request: Request, backend: Served, who: Who) -> Response:
    """Sign out: the session ends, not its key."""
    digest = who.session
    if digest is not None:
        backend.write(lambda connection: sessions.end(connection, digest))
        credentials: Credentials = request.app.state.door.credentials
        credentials.forget(digest)
    gone = Response(status_code=204)
    cookie.remove(gone, backend.settings)
    return gone


def _key(backend: Backend, text: str) -> Key:
    key_id = key_id_of(text)
    if key_id is None:
        raise Unauthorized("this is no key: a letter is wrong or missing", code="bad-key")
    with backend.reading() as connection:
        found = keys.find(connection, key_id, digest_of(text))
    return in_force(found, backend.clock()).key


def _said(who: Principal, status: int) -> Response:
    body = {"project": who.project, "scopes": sorted(who.scopes), "actor": who.actor}
    said = answer(body, status)
    said.headers.update(NOT_KEPT)
    return said
