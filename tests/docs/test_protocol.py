"""The test vectors of the protocol, replayed against a real server and against our own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gradwatch.frames import encode
from gradwatch.layers import LayerTable, read_layers
from gradwatch.records import Report, read_layer_stats
from gradwatch_service.domain import MISSING32_BITS, MISSING64_BITS
from tests.servers import Server

DOCS = Path(__file__).parents[2] / "docs"
VECTORS = json.loads((DOCS / "protocol" / "vectors.json").read_text("utf-8"))
EXCHANGES = VECTORS["exchanges"]
TABLE = LayerTable(read_layers(VECTORS["layer_table"]["sent"])[0])
MISSING = {"float32": np.uint32(MISSING32_BITS), "float64": np.uint64(MISSING64_BITS)}


def test_a_server_answers_every_exchange_as_the_vectors_say(standing_server: Server):
    with httpx.Client(base_url=standing_server.api, timeout=30, trust_env=False) as http:
        for exchange in EXCHANGES:
            answer = http.request(
                exchange["method"],
                exchange["path"],
                content=body_of(exchange),
                headers=exchange["headers"],
            )
            expected = exchange["expect"]
            assert answer.status_code == expected["status"], (exchange["what"], answer.text)
            found, wanted = answer.json(), expected.get("body", {})
            assert {key: found[key] for key in wanted} == wanted, exchange["what"]


def body_of(exchange: dict[str, Any]) -> bytes | None:
    if "body_hex" in exchange:
        return bytes.fromhex(exchange["body_hex"])
    return json.dumps(exchange["json"]).encode() if "json" in exchange else None


@pytest.mark.parametrize("vector", VECTORS["arrays"], ids=lambda vector: vector["dtype"])
def test_arrays_are_the_bytes_that_the_vectors_say(vector: dict[str, Any]):
    dtype = np.dtype(vector["dtype"]).newbyteorder("<")
    values = np.array([0 if value is None else value for value in vector["values"]], dtype)
    for place, value in enumerate(vector["values"]):
        if value is None:
            missing = MISSING[vector["dtype"]]
            values.view(missing.dtype)[place] = missing
    assert values.tobytes().hex() == vector["hex"]


def test_the_hash_of_a_layer_table_is_that_of_its_canonical_json():
    assert TABLE.hash == VECTORS["layer_table"]["sha256"]
    canonical = json.dumps(
        TABLE.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert canonical == VECTORS["layer_table"]["canonical"]


def test_our_client_writes_the_frame_of_the_vectors_byte_by_byte():
    (vector,) = [one for one in EXCHANGES if one["what"] == "three steps: stored"]
    norms = [{"fc1.weight": 1.0, "rnn.weight_hh": 1.0}, {"fc1.weight": 1.0, "rnn.weight_hh": 1.5},
             {"fc1.weight": 1.0, "rnn.weight_hh": 1.0, "é": 0.25}]  # fmt: skip
    losses = [{"loss": 2.5}, {"loss": 2.25}, {}]
    reports = []
    for step, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
        given = {layer: {"grad_norm": value} for layer, value in norm.items()}
        layers, malformed = read_layer_stats(TABLE, given)
        assert not malformed
        reports.append(Report(step, 1.7e9 + step, TABLE, loss, layers))
    assert encode(reports).hex() == vector["body_hex"]


def test_the_page_names_every_status_of_the_vectors():
    page = (DOCS / "protocol.md").read_text("utf-8")
    statuses = {str(exchange["expect"]["status"]) for exchange in EXCHANGES}
    assert {status for status in statuses if f"| {status} " in page} == statuses
