"""stale-run: a run that should be reporting has gone silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity

SILENCE = "silence_seconds"
PATIENCE = "patience_seconds"


@dataclass(frozen=True, slots=True)
class StaleRun:
    """Nothing was reported for longer than the patience; critical at ``critical_factor`` times it.

    The one rule with a wall clock: the service's worker watches it and writes what it saw into the
    log of the run, as ``silence_seconds`` and ``patience_seconds`` in a stream of its own, so that
    a replay finds the same. The patience is max(30 s, 5 P99 of the last 64 intervals between
    pushes, 3 times the longest pause of this launch), by the service's clock; 1,800 s for the first
    five pushes, and after an announced phase or checkpoint. Ends after 1 report of no silence,
    which is written with the next push, or when the run is finished.

    Source: factor 5, NVIDIA resiliency extension (timeouts from observed intervals); 1,800 s,
    SageMaker Debugger's StalledTrainingRule.
    """

    id: ClassVar[str] = "stale-run"
    clear_after: ClassVar[int] = 1
    critical_factor: float = 3.0

    def init(self, _layers: LayerTable) -> None:
        """Nothing to remember."""

    def update(self, _state: None, view: View) -> tuple[None, Signal]:
        """Compare each observed silence with the patience."""
        if SILENCE not in view.scalars:
            return None, quiet(view)
        silence, patience = view.measured(SILENCE), view.measured(PATIENCE)
        known = np.asarray(~np.isnan(silence - patience))
        level = levels(
            view,
            (Severity.ERROR, silence > patience),
            (Severity.CRITICAL, silence > self.critical_factor * patience),
        )

        def describe(row: int) -> Sighting:
            seconds, allowed = float(silence[row]), float(patience[row])
            text = (
                f"nothing was reported for {seconds:.0f} s; "
                f"at the pace of this run {allowed:.0f} s are usual at most"
            )
            return Sighting((Evidence(self.id, text, int(view.step[row]), seconds, allowed),))

        return None, Signal(level, silence <= patience, describe, known)
