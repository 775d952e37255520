"""What is handed to the writer, and what comes back: the interface between api and ingest."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gradwatch_service.diagnose.acts import ActKind
from gradwatch_service.domain import Frame, Guard, Health, JsonValue
from gradwatch_service.ingest.judge import Birth, Judged, State
from gradwatch_service.store.silence import Silence


@dataclass(frozen=True, slots=True)
class FramePush:
    """``PUT /runs/{run}/writers/{writer}/frames/{seq}``: one decoded frame and its body as stored.

    ``digest`` is the SHA-256 of the (decompressed) body as sent; ``body`` the packed frame
    (``store.packing``). The frame's ``layers_hash`` still has to be checked against the run, and
    the run against ``project``, the only one the sender may write in (None: in any).
    """

    run_id: uuid.UUID
    writer: str
    seq: int
    digest: bytes
    frame: Frame
    body: bytes
    project: str | None = None


@dataclass(frozen=True, slots=True)
class StepsPush:
    """``POST /runs/{run}/steps``: decoded steps; columns of ``frame.layers`` are ``layer_names``.

    ``POST /runs/{run}/events`` is one without steps: its frame holds events alone.
    ``rejections`` are the items the parser refused; they only travel back in the receipt.
    ``project`` as in ``FramePush``.
    """

    run_id: uuid.UUID
    digest: bytes
    frame: Frame
    layer_names: tuple[str, ...]
    idempotency_key: str | None = None
    rejections: tuple[Mapping[str, JsonValue], ...] = ()
    project: str | None = None


@dataclass(frozen=True, slots=True)
class PointsPush:
    """``POST /v1/metrics``: as in ``StepsPush``, but what is stored before is each single value.

    ``counted``: its steps are to be numbered after those of the run, and so many are in the whole
    request (0: they have numbers); a time that has a number keeps it.
    """

    run_id: uuid.UUID
    digest: bytes
    frame: Frame
    layer_names: tuple[str, ...]
    counted: int
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Judge what is stored of a run and waits to be judged; answered by nothing."""

    run_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Word:
    """Somebody acknowledges or resolves an alert of a run; answered by nothing."""

    run_id: uuid.UUID
    alert_id: uuid.UUID
    kind: ActKind
    by: str
    comment: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge found in the next so many ``reports`` of a stream, after state ``base``.

    ``judged`` is an error where it was lost.
    """

    run_id: uuid.UUID
    writer: str
    base: State | Birth
    reports: int
    judged: Judged | Exception


Push: TypeAlias = FramePush | StepsPush | PointsPush | Silence | Judgement | Word | Verdict


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a push, after its transaction has committed."""

    status: str  # "stored", or "duplicate" for the same frame again
    accepted: int
    duplicates: int
    contiguous_through: int
    health: Health
    guard: Guard
    server_time: dt.datetime
    alerts: tuple[
        Mapping[str, JsonValue], ...
    ] = ()  # the alerts this push changed, as in GET /alerts
    advice: tuple[Mapping[str, JsonValue], ...] = ()  # top of GET /runs/{id}/advice
    rejections: tuple[Mapping[str, JsonValue], ...] = ()
    gaps: tuple[tuple[int, int], ...] = field(default=())  # missing seq ranges, inclusive
