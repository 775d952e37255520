"""A receipt is written in parts; a reader finds one JSON object with all it should hold."""

import datetime as dt
import json

import pytest

from gradwatch_service.api import shapes
from gradwatch_service.api.receipts import receipt_of
from gradwatch_service.domain import Guard
from gradwatch_service.ingest.pushes import Receipt

NOON = dt.datetime(2026, 11, 27, 12, 0, 0, 250_000, dt.UTC)
PLAIN = Receipt("stored", 3, 0, 17, "ok", Guard(), NOON)
RICH = Receipt(
    status="duplicate",
    accepted=0,
    duplicates=2,
    contiguous_through=-1,
    health="critical",
    guard=Guard(1.5, None, skip_nonfinite=False, max_consecutive_skips=2, expires_step=9),
    server_time=NOON,
    alerts=({"title": 'layer "ä"', "evidence": [{"value": float("nan")}]},),
    advice=({"text": "a\nb", "confidence": 0.5},),
    rejections=({"pointer": "/steps/0", "code": "bad"},),
    gaps=((0, 3), (5, 5)),
)


def test_a_plain_receipt_is_what_the_contract_says():
    answer = receipt_of(PLAIN)
    assert (answer.status_code, answer.media_type) == (201, "application/json")
    body = json.loads(bytes(answer.body))
    shapes.ReceiptBody.model_validate(body)
    assert body == {
        "status": "stored", "accepted": 3, "duplicates": 0, "rejected": 0, "rejections": [],
        "contiguous_through": 17, "gaps": [], "health": "ok", "alerts": [], "advice": [],
        "guard": Guard().as_json(), "server_time": "2026-11-27T12:00:00.250Z",
    }  # fmt: skip


@pytest.mark.parametrize("warnings", [(), ('bare "NaN"',)])
def test_whatever_there_is_to_say_is_in_the_receipt(warnings: tuple[str, ...]):
    answer = receipt_of(RICH, warnings)
    assert answer.status_code == 200
    body = json.loads(bytes(answer.body))
    assert body.pop("warnings", []) == list(warnings)
    assert body == {
        "status": "duplicate", "accepted": 0, "duplicates": 2, "rejected": 1,
        "rejections": [{"pointer": "/steps/0", "code": "bad"}], "contiguous_through": -1,
        "gaps": [[0, 3], [5, 5]], "health": "critical",
        "alerts": [{"title": 'layer "ä"', "evidence": [{"value": "NaN"}]}],
        "advice": [{"text": "a\nb", "confidence": 0.5}], "guard": RICH.guard.as_json(),
        "server_time": "2026-11-27T12:00:00.250Z",
    }  # fmt: skip


def test_receipts_of_different_runs_have_their_own_guards():
    guards = [Guard(max_norm=norm) for norm in (1.0, 2.0, None)]
    receipts = [Receipt("stored", 1, 0, 0, "ok", guard, NOON) for guard in guards]
    bodies = [json.loads(bytes(receipt_of(receipt).body)) for receipt in receipts]
    assert [body["guard"]["max_norm"] for body in bodies] == [1.0, 2.0, None]
