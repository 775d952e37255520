"""Silence as a stream of reports: what the worker saw of a run, for the fold to judge."""

from __future__ import annotations

import datetime as dt
from hashlib import sha256

import numpy as np

from gradwatch_service.detect.rules.stale_run import PATIENCE, SILENCE, StaleRun
from gradwatch_service.domain import AlertPart, Frame, LayerTable
from gradwatch_service.ingest import own
from gradwatch_service.ingest.arrival import Arrival
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.store import packing

NO_SILENCE = (0.0, 0.0)  # seconds silent, seconds of patience


def observation(
    run: RunDraft, seq: int, now: dt.datetime, seconds: float, patience: float
) -> Arrival:
    """The report that a run has been silent for so long."""
    frame = Frame(
        steps=np.array([max(run.view.head.last_step or 0, run.last_step)], np.int64),
        time=np.array([now.timestamp()]),
        scalars={SILENCE: np.array([seconds]), PATIENCE: np.array([patience])},
    )
    body = packing.pack(frame)
    return Arrival(seq, sha256(body).digest(), frame, body, LayerTable())


def stalled(run: RunDraft) -> AlertPart | None:
    """What is said about the silence of a run, as long as it holds."""
    writer = own.name(own.SILENCE, run.view.head.attempt)
    known = (shares.get(writer) for shares in run.contributions().values())
    found = (one.part for one in known if one is not None)
    return next((x for x in found if x.rule == StaleRun.id and x.state != "resolved"), None)
