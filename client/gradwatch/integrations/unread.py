"""A step that was measured on a device, until its numbers are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradwatch.guard import Guard
from gradwatch.integrations.foreach import Sent
from gradwatch.integrations.pilot import PASS, Verdict
from gradwatch.values import Float32Array


@dataclass(frozen=True)
class Unread:
    """What was sent and decided at a step; ``copied``: its update is measured at the next one.

    ``limits``: by these the device judged it, and the verdict shows in its numbers.
    """

    step: int
    time: float
    sent: Sent
    profiles: Mapping[str, Float32Array]
    has_gradient: bool
    verdict: Verdict = PASS
    copied: bool = False
    limits: Guard | None = None
