"""A database with real trouble in it: streams with a fault each, judged by the real writer."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine

from gradwatch_service.clock import utc_now
from gradwatch_service.domain import alert_id
from gradwatch_service.ingest.pushes import Word
from gradwatch_service.store import silences
from gradwatch_service.store.codec import uuid7
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.silences import Matcher, Silence
from tests.service.diagnose.faults import FAULTS
from tests.service.ingest.rig import DEADLINE, create_run, frame_push, serving

HELPED = tuple(
    {"kind": "advice", "action": "clip_grad_norm", "status": status, "step": step}
    for status, step in (("applied", 180), ("verified", 230))
)


@dataclass
class Trouble:
    """Makes runs that go wrong, at the time that its clock shows."""

    engine: Engine
    now: dt.datetime = field(default_factory=utc_now)
    writer: Any = None

    def run(
        self, cause: str, name: str, minutes_ago: float = 0, project: str = "lm", **fields: Any
    ) -> uuid.UUID:
        """A run with this cause, which reported all of it so long ago; the id of its alert."""
        self.now = utc_now() - dt.timedelta(minutes=minutes_ago)
        stream = FAULTS[cause]()
        run_id = create_run(
            self.engine, self.now, project=project, name=name, layers=stream.layers, tags=["demo"]
        )
        (frame,) = replace(stream, **fields).frames()
        self.writer.submit(frame_push(run_id, 0, frame)).result(DEADLINE)
        self.writer.judge(run_id).result(DEADLINE)
        return run_id

    def say(self, run_id: uuid.UUID, cause: str, kind: Any, by: str, comment: str) -> None:
        """Somebody's word on an alert, a minute later."""
        self.now += dt.timedelta(minutes=1)
        word = Word(run_id, alert_id(run_id, cause), kind, by, comment)
        self.writer.submit(word).result(DEADLINE)

    def silence(
        self, comment: str, *, project: str = "lm", hours: float = 4, **labels: str
    ) -> None:
        """Tell nobody of what has these labels, from now on."""
        now = utc_now()
        made = Silence(
            id=uuid7(now),
            project=project,
            matchers=tuple(Matcher(name, "=", value) for name, value in labels.items()),
            comment=comment,
            created_by="ben",
            starts_at=now,
            ends_at=now + dt.timedelta(hours=hours),
            created_at=now,
        )
        with for_writing(self.engine).begin() as connection:
            silences.add(connection, made)


@contextmanager
def trouble(engine: Engine) -> Iterator[Trouble]:
    """Somebody who makes trouble in a migrated database."""
    made = Trouble(engine)
    with serving(engine, clock=lambda: made.now) as made.writer:
        yield made


def a_bad_day(engine: Engine) -> None:
    """What a team may find: trouble that was mended, new, known and silenced trouble."""
    rnn = "explosion-through-time"
    with trouble(engine) as made:
        first = made.run(rnn, "char-rnn-7", 60 * 26, events=HELPED)
        made.say(first, rnn, "resolved", "anna", "clipping at 1 held it")
        made.run("weights-growing", "gpt-small", 95)
        known = made.run("learning-rate-too-high", "gpt-medium", 40)
        made.say(known, "learning-rate-too-high", "acknowledged", "ben", "halving the rate")
        made.run("fp16-underflow", "vit-b16", 31, project="vision")
        made.silence("known: waits for bf16 nodes", project="vision", cause="fp16-underflow")
        made.silence("night of tests", project="vision", hours=0, run_name="scratch")
        made.run("dead-units", "resnet-9", 12, project="vision")
        made.run("learning-rate-jump", "gpt-large", 9)
        made.run("plateau", "gpt-tiny", 6)
        made.run(rnn, "char-rnn-12", 3)
