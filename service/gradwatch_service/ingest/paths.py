"""Which way each kind of push takes into a group."""

from __future__ import annotations

from gradwatch_service.errors import ServiceError
from gradwatch_service.ingest.frame_path import place_frame
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.judgement_path import place_judgement
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.pushes import FramePush, Judgement, Push, StepsPush, Verdict, Word
from gradwatch_service.ingest.silence_path import place_silence
from gradwatch_service.ingest.steps_path import place_steps
from gradwatch_service.ingest.verdict_path import place_verdict
from gradwatch_service.ingest.word_path import place_word
from gradwatch_service.store.silence import Silence


def place(group: Group, push: Push) -> Placed | ServiceError | None:
    """Where a push has its place in a group, or why it has none; None: there is no answer."""
    try:
        match push:
            case FramePush():
                return place_frame(group, push)
            case StepsPush():
                return place_steps(group, push)
            case Silence():
                return place_silence(group, push)
            case Judgement():
                place_judgement(group, push)
            case Word():
                place_word(group, push)
            case Verdict():
                place_verdict(group, push)
    except ServiceError as error:
        return error
    return None
