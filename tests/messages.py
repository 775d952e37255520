"""Messages as channels get them: one of each kind, and what a user might name things."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from dataclasses import replace
from typing import Any

from gradwatch_service.domain import Severity
from gradwatch_service.notify.message import Message, Subject

NOW = dt.datetime(2026, 11, 27, 13, 0, 30, tzinfo=dt.UTC)
LINK = "http://127.0.0.1:8321/runs/01a21b5f-ab24-78c1-8a4d-9c1c2770ae05"
RUN = uuid.UUID("01a21b5f-ab24-78c1-8a4d-9c1c2770ae05")

SUBJECT = Subject(
    alert_id=uuid.UUID("663c5d8b-e15f-5b85-bad8-808ba2c3d1b6"),
    run_id=RUN,
    run_name="gpt-small",
    cause="learning-rate-too-high",
    rule="update-step-huge",
    severity=Severity.CRITICAL,
    is_firing=True,
    is_news=True,
    title="The learning rate is too high (step 212)",
    explanation="Since step 212 the updates are too large for the shape of the loss.",
    layers=("W_hh", "W_xh", "b_h", "W_hy", "b_y"),
    opened_step=212,
    last_step=215,
    regressed=False,
    confidence=0.95,
    remedies=(
        "Multiply the learning rate by 0.5, from 0.000586 to 0.000293.",
        "Keep the learning rate at or below 0.00028.",
    ),
    opened_at=NOW - dt.timedelta(seconds=30),
)


def message(kind: Any = "firing", *subjects: Subject, **changes: Any) -> Message:
    """One message about the run; without subjects about one that fires."""
    firing = Message(
        delivery_id=uuid.UUID("9d3f3c66-8a06-5d5c-9d0e-0d8ff1c9a0aa"),
        kind=kind,
        project="lm",
        run_id=RUN,
        run_name="gpt-small",
        link=LINK,
        subjects=subjects or (SUBJECT,),
        at=NOW,
    )
    return replace(firing, **changes)


def over(subject: Subject = SUBJECT) -> Subject:
    """The same when it is over."""
    return replace(subject, is_firing=False, ended_at=NOW)


def resolved() -> Message:
    return message("resolved", over())


def a_test() -> Message:
    return message("test", subjects=(), run_id=None, run_name="", link="")


def with_curves(given: Message) -> Message:
    """The run of a message with something to draw: fine until step 212, infinite at the end."""
    steps = tuple(range(120, 220))
    growth = [max(0, step - 212) for step in steps]
    loss = (*(1.0 + 4.0**steep for steep in growth[:-1]), math.inf)
    return replace(
        given, steps=steps, loss=loss, log2_grad_norm=tuple(0.5 + steep for steep in growth)
    )
