"""How far the ranks of a run have been compared: a value, remembered between groups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from gradwatch_service.diagnose.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ranks of a launch of a run.

    ``epoch`` is when the run started, ``pushes`` how many the launch had had by then: if there are
    more now, another process has taken them. ``seqs``: how far each writer's frames are taken in.
    """

    epoch: dt.datetime
    attempt: int
    pushes: int
    seqs: Mapping[str, int]
    ranks: Ranks
