"""What other settings of the rules would have said of a stream on tape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gradwatch_service.detect.episodes import Episode
from gradwatch_service.detect.tape import Pace, Tape, Track, played
from gradwatch_service.diagnose import fold
from gradwatch_service.domain import AlertEvent, AlertPart, Facts


class Told(NamedTuple):
    """What a stream would contribute to the alert of each cause, and its transitions."""

    parts: Mapping[str, AlertPart]
    events: tuple[AlertEvent, ...]


def rehearse(tape: Tape, tracks: Mapping[str, Track], facts: Facts, pace: Pace) -> Told:
    """The same as folding the stream; ``tracks``: of the rules that judge, as they are set."""
    state = fold.init(tape.layers, facts)
    episodes: Mapping[str, Episode] = {}
    events: list[AlertEvent] = []
    for take, seen in played(tape, tracks):
        pace()
        state, outcome = fold.conclude(state, take.events, seen, episodes)
        events += outcome.events
        episodes = seen[-1].episodes if seen else episodes
    return Told(state.parts, tuple(events))
