"""The receipt of a push, as JSON: most of it is the same each time, so only the rest is written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache

from starlette.responses import Response

from gradwatch_service.api.answers import encode
from gradwatch_service.api.operations import JSON
from gradwatch_service.domain import Guard
from gradwatch_service.ingest.pushes import Receipt

STORED, REPEATED = 201, 200


def receipt_of(receipt: Receipt, warnings: Sequence[str] = ()) -> Response:
    """The answer to a push; ``warnings`` are about the body it came in."""
    text = (
        f'{{"status":"{receipt.status}","accepted":{receipt.accepted},'
        f'"duplicates":{receipt.duplicates},"rejected":{len(receipt.rejections)},'
        f'"rejections":{_list(receipt.rejections)},'
        f'"contiguous_through":{receipt.contiguous_through},"gaps":{_list(receipt.gaps)},'
        f'"health":"{receipt.health}","alerts":{_list(receipt.alerts)},'
        f'"advice":{_list(receipt.advice)},"guard":{_constant(receipt.guard)},'
        f'"server_time":{_constant(receipt.server_time)}'
    )
    text += f',"warnings":{_list(warnings)}}}' if warnings else "}"
    return Response(text, REPEATED if receipt.status == "duplicate" else STORED, media_type=JSON)


def _list(values: Sequence[object]) -> str:
    return encode(values).decode() if values else "[]"


@lru_cache(maxsize=1_024)
def _constant(value: Guard | dt.datetime) -> str:
    """What is the same in many receipts: the guard of a run, the time of a group."""
    return encode(value.as_json() if isinstance(value, Guard) else value).decode()
