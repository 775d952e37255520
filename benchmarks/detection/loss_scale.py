"""Mixed precision in miniature: gradients pass through float16 under a loss scale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch


@dataclass
class LossScale:
    """As ``torch.amp.GradScaler``: halve after an overflow, double after ``growth`` good steps.

    ``dynamic`` False keeps the scale; ``checked`` False makes the update in spite of an overflow.
    """

    scale: float = 2.0**16
    growth: int = 200
    dynamic: bool = True
    checked: bool = True
    good: int = 0

    def round_trip(self, gradients: Iterable[torch.Tensor]) -> bool:
        """Scale, round to float16, unscale, all in place; whether something overflowed."""
        overflow = False
        for gradient in gradients:
            rounded = (gradient * self.scale).half().float()
            overflow |= not bool(torch.isfinite(rounded).all())
            gradient.copy_(rounded / self.scale)
        self._adapt(overflow)
        return overflow

    def _adapt(self, overflow: bool) -> None:
        self.good = 0 if overflow else self.good + 1
        if not self.dynamic:
            return
        if overflow:
            self.scale /= 2
        elif self.good % self.growth == 0:
            self.scale *= 2
