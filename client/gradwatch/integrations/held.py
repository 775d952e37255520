"""The report of a step, held back until the update made at it has been measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gradwatch.integrations.pilot import Pilot, Verdict
from gradwatch.integrations.unread import Unread
from gradwatch.records import Measured
from gradwatch.values import Float32Array

if TYPE_CHECKING:
    from gradwatch.run import Run


class Held:
    """At most one report of one monitor."""

    def __init__(self, run: Run, pilot: Pilot) -> None:
        self._run = run
        self._pilot = pilot
        self._report: Measured | None = None

    def hold(self, measured: Measured, one: Unread) -> None:
        """Keep the report of a step until its update is known, if that is measured."""
        scalars = _joined(measured, one.verdict)
        if "lr" in scalars:
            scalars["lr"] = self._pilot.rate(scalars["lr"])
        self._report = replace(measured, scalars=scalars)
        if not one.copied:
            self.release()

    def complete(self, update_norm: Float32Array | None) -> None:
        """Report the step before, now that its update is known."""
        if self._report is not None and update_norm is not None:
            arrays = {**self._report.arrays, "update_norm": update_norm}
            self._report = replace(self._report, arrays=arrays)
        self.release()

    def release(self) -> None:
        """Report it as it is."""
        held, self._report = self._report, None
        if held is not None:
            self._pilot.learn(held)
            self._run.log_measured(held)

    def forget(self) -> None:
        """Drop it."""
        self._report = None


def _joined(measured: Measured, verdict: Verdict) -> dict[str, float]:
    """What was measured, and what became of it; of two limits the lower one counts."""
    scalars = {**measured.scalars, **verdict.scalars}
    limits = (measured.scalars, verdict.scalars)  # of the framework, and of the guard
    if all("clip_norm" in each for each in limits):
        scalars["clip_norm"] = min(each["clip_norm"] for each in limits)
    return scalars
