"""How long the sender rests between two turns, and what may wake it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Patience(Enum):
    """What may cut a pause short."""

    IDLE = auto()  # new records
    BACKOFF = auto()  # a flush or the end of the run
    ORDERED = auto()  # nothing: the server, or a person, has to act first


@dataclass(frozen=True, slots=True)
class Pause:
    """How long to wait before the next turn."""

    seconds: float = 0.0
    patience: Patience = Patience.IDLE


AT_ONCE = Pause()
