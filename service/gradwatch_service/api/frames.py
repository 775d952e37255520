"""The ways in for measurements: frames on the fast path, plain steps for everything else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import IN_SCOPE, INGEST, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import media_type, require_json
from gradwatch_service.api.frame_body import pack_json
from gradwatch_service.api.json_text import parse
from gradwatch_service.api.operations import JSON, PREFIX, IdempotencyKey, answers, takes
from gradwatch_service.api.receipts import REPEATED, STORED, receipt_of
from gradwatch_service.api.shapes import FrameBody, ReceiptBody, StepsBody
from gradwatch_service.api.steps_body import parse_steps
from gradwatch_service.domain import Frame, JsonValue
from gradwatch_service.errors import Invalid, NotFound, UnsupportedMedia
from gradwatch_service.ingest.pushes import FramePush, StepsPush
from gradwatch_service.store.packing import pack, unpack
from gradwatch_service.store.wording import check_name

router = APIRouter(tags=["push"])

FRAME_PATH = f"{PREFIX}/runs/{{run_id}}/writers/{{writer}}/frames/{{seq}}"
MSGPACK = "application/msgpack"

_SEQ = re.compile("[0-9]{1,18}")


@allows(INGEST, of=Owner.WRITER)
class PutFrame:
    """Plain ASGI, as every layer would cost more than the work: see ``shortcut``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store one frame of one writer; the same again is harmless."""
        backend: Backend = scope["app"].state.backend
        stream, seq = _address(scope["path_params"], scope[IN_SCOPE].project)
        message = await receive()  # the gate hands every body over whole
        response = await _store(backend, stream, seq, media_type(scope), message["body"])
        await response(scope, receive, send)


put_frame = Route(FRAME_PATH, PutFrame(), methods=["PUT"])


async def _store(backend: Backend, stream: _Stream, seq: int, media: str, body: bytes) -> Response:
    run_id, writer, project = stream
    digest = sha256(body).digest()
    try:
        sent = await _read(media, body)
        push = FramePush(run_id, writer, seq, digest, sent.frame, sent.packed, project)
        receipt = await backend.stored(backend.writer.submit(push))
    except Invalid as error:
        refused = _refused(error, seq)
        push = FramePush(run_id, writer, seq, digest, refused, pack(refused), project)
        await backend.stored(backend.writer.submit(push))
        raise
    return receipt_of(receipt, sent.warnings)


class _Stream(NamedTuple):
    """Whose frame, in which project the sender may write; None: in any."""

    run_id: uuid.UUID
    writer: str
    project: str | None


class _Sent(NamedTuple):
    """A frame, the packed form in which it is stored, and what the sender should know."""

    frame: Frame
    packed: bytes
    warnings: tuple[str, ...] = ()


def _address(path: Mapping[str, str], project: str | None) -> tuple[_Stream, int]:
    try:
        run_id = _run_id(path["run_id"])
    except ValueError as error:
        raise NotFound("no run has this address: its id is no UUID") from error
    if not _SEQ.fullmatch(path["seq"]):
        raise NotFound("no frame has this address: seq counts 0, 1, 2, …")
    return _Stream(run_id, check_name(path["writer"], "/writer"), project), int(path["seq"])


@lru_cache(maxsize=1_024)
def _run_id(text: str) -> uuid.UUID:
    """The same few ids come again and again."""
    return uuid.UUID(text)


async def _read(media: str, body: bytes) -> _Sent:
    if media == MSGPACK:
        return _Sent(unpack(body), body)
    if media == JSON:
        return await run_in_threadpool(_read_json, body)
    raise UnsupportedMedia(f"send the header Content-Type: {MSGPACK} or {JSON}")


def _read_json(body: bytes) -> _Sent:
    value, warnings = parse(body)
    packed = pack_json(value)
    return _Sent(unpack(packed), packed, warnings)


def _refused(error: Invalid, seq: int) -> Frame:
    """What stands in the log for a frame that breaks the contract: its number is used up."""
    note: dict[str, JsonValue] = {"kind": "refused", "seq": seq, "code": error.errors[0].code}
    return Frame(np.empty(0, np.int64), np.empty(0, np.float64), events=(note,))


@router.post(
    "/runs/{run_id}/steps",
    status_code=STORED,
    openapi_extra=takes(StepsBody),
    responses=answers({STORED: ReceiptBody, REPEATED: ReceiptBody}, 400, 404, 409, 413, 415, 422),
)
@allows(INGEST, of=Owner.WRITER)
async def post_steps(
    run_id: uuid.UUID,
    request: Request,
    backend: Served,
    who: Who,
    key: IdempotencyKey = None,
) -> Response:
    """Store steps sent as plain JSON; without a key, steps already stored are not stored again."""
    require_json(request)
    body = await request.body()
    parsed = await run_in_threadpool(parse, body)
    steps = await run_in_threadpool(parse_steps, parsed.value)
    push = StepsPush(
        run_id=run_id,
        digest=sha256(body).digest(),
        frame=steps.frame,
        layer_names=steps.layer_names,
        idempotency_key=key,
        rejections=steps.rejections,
        project=who.project,
    )
    return receipt_of(await backend.stored(backend.writer.submit(push)), parsed.warnings)


OPENAPI_PATHS: dict[str, Any] = {
    FRAME_PATH: {
        "put": {
            "tags": ["push"],
            "summary": "Put Frame",
            "description": PutFrame.__call__.__doc__,
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": schema}
                for name, schema in (
                    ("run_id", {"type": "string", "format": "uuid"}),
                    ("writer", {"type": "string", "minLength": 1}),
                    ("seq", {"type": "integer", "minimum": 0}),
                )
            ],
            **takes(FrameBody, MSGPACK),
            "responses": {
                str(status): described
                for status, described in answers(
                    {STORED: ReceiptBody, REPEATED: ReceiptBody}, 400, 404, 409, 413, 415, 422
                ).items()
            },
        }
    }
}
