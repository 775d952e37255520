"""Which way each kind of push takes into a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradwatch_service.errors import ServiceError
from gradwatch_service.ingest.frame_path import place_frame
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.judgement_path import place_judgement
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.points_path import place_points
from gradwatch_service.ingest.pushes import (
    FramePush,
    Judgement,
    PointsPush,
    Push,
    StepsPush,
    Verdict,
    Word,
)
from gradwatch_service.ingest.silence_path import place_silence
from gradwatch_service.ingest.steps_path import place_steps
from gradwatch_service.ingest.verdict_path import place_verdict
from gradwatch_service.ingest.word_path import place_word
from gradwatch_service.store.silence import Silence


def place(group: Group, push: Push) -> Placed | ServiceError | None:
    """Where a push has its place in a group, or why it has none; None: there is no answer."""
    try:
        return _PATHS[type(push)](group, push)
    except ServiceError as error:
        return error


_PATHS: Mapping[type[Push], Callable[[Group, Any], Placed | None]] = {
    FramePush: place_frame,
    StepsPush: place_steps,
    PointsPush: place_points,
    Silence: place_silence,
    Judgement: place_judgement,
    Word: place_word,
    Verdict: place_verdict,
}
