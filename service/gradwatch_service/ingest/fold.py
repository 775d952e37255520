"""The judgement that ingest applies to the log: begin, take a frame, compare ranks, join parts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gradwatch_service.diagnose import fold, merge
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.diagnose.merge import Alert
from gradwatch_service.diagnose.ranks import Ranks
from gradwatch_service.domain import AlertPart, Facts, Frame, LayerTable

Update: TypeAlias = Callable[[WriterState, Frame, LayerTable], tuple[WriterState, Outcome]]


@dataclass(frozen=True, slots=True)
class Fold:
    """Pure functions; the real ones unless told otherwise."""

    init: Callable[[LayerTable, Facts], WriterState] = fold.init
    update: Update = fold.update
    compare: Callable[[Ranks], Ranks] = Ranks.caught_up
    join: Callable[[uuid.UUID, Mapping[str, AlertPart]], Alert] = merge.join
