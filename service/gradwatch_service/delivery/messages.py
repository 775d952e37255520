"""Builds the message that a claim sends: its words from what was planned, its picture from now."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from sqlalchemy import Connection

from gradwatch_service.delivery.claims import Claim
from gradwatch_service.domain import FloatArray
from gradwatch_service.notify.message import Message, MessageKind, Subject
from gradwatch_service.notify.subjects import most_urgent_first, subject_of
from gradwatch_service.store import runs
from gradwatch_service.store.codec import Json
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.store.series import SeriesQuery, series

STEPS_SHOWN: Final = 512


def message_of(connection: Connection, claim: Claim, public_url: str) -> Message:
    """What a claim says: of one run, or as a digest of several."""
    first = claim.deliveries[0]
    if first.digest_id is not None:
        return _digest(claim.deliveries, public_url)
    steps, loss, norm = _curves(connection, first.run_id)
    return Message(
        delivery_id=first.delivery_id,
        kind=cast(MessageKind, first.kind),
        project=first.project,
        run_id=first.run_id,
        run_name=cast(str, first.body["run_name"]),
        link=f"{public_url.rstrip('/')}/runs/{first.run_id}",
        subjects=most_urgent_first(_subjects(first)),
        at=_at(first),
        repeats=cast(bool, first.body["repeats"]),
        steps=steps,
        loss=loss,
        log2_grad_norm=norm,
    )


def _digest(deliveries: Sequence[Delivery], public_url: str) -> Message:
    first = deliveries[0]
    return Message(
        delivery_id=first.message_id,
        kind="digest",
        project=first.project,
        run_id=None,
        run_name=f"{len(deliveries)} runs",
        link=f"{public_url.rstrip('/')}/",
        subjects=most_urgent_first(one for each in deliveries for one in _subjects(each)),
        at=max(_at(one) for one in deliveries),
    )


def _subjects(delivery: Delivery) -> list[Subject]:
    kept = cast(Sequence[Json], delivery.body["subjects"])
    return [subject_of(one, cast(str, delivery.body["run_name"])) for one in kept]


def _at(delivery: Delivery) -> dt.datetime:
    return dt.datetime.fromisoformat(cast(str, delivery.body["at"]))


def _curves(
    connection: Connection, run_id: uuid.UUID
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Steps, loss and log2 of the gradient norm over the newest steps; NaN: not measured."""
    row = runs.find_row(connection, run_id)
    if row is None or row["last_step"] is None:
        return (), (), ()
    first = max(row["last_step"] - STEPS_SHOWN + 1, 0)
    curves = [
        series(connection, run_id, SeriesQuery(metric, first=first, last=row["last_step"]))
        for metric in ("loss", "grad_norm")
    ]
    steps = np.unique(np.concatenate([found for found, _ in curves]))
    loss, norm = (np.full(len(steps), np.nan) for _ in curves)
    for target, (at, values) in zip((loss, norm), curves, strict=True):
        places = np.searchsorted(steps, at[::-1])  # at an equal step the first writer comes last
        target[places] = values[::-1]
    return tuple(steps.tolist()), tuple(loss.tolist()), tuple(_log2(norm).tolist())


def _log2(values: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: FloatArray = np.log2(values)
    return found
