"""The armed guard: numbers from the service, judged here before ``optimizer.step()``; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits that came with the newest receipt; a guard past ``expires_step`` does nothing.

    ``max_norm`` and ``skip_above`` are limits of the global gradient norm before clipping; None
    means the service knows no limit yet. The default guard is unarmed.
    """

    max_norm: float | None = None
    skip_above: float | None = None
    skip_nonfinite: bool = True
    max_consecutive_skips: int = 4
    expires_step: int = -1

    @staticmethod
    def from_json(body: Mapping[str, object]) -> Guard:
        """Read the ``guard`` of a receipt; what is absent or unreadable disarms its part."""
        skips = body.get("max_consecutive_skips")
        expires = body.get("expires_step")
        return Guard(
            max_norm=_limit(body.get("max_norm")),
            skip_above=_limit(body.get("skip_above")),
            skip_nonfinite=body.get("skip_nonfinite") is True,
            max_consecutive_skips=skips if isinstance(skips, int) else 0,
            expires_step=expires if isinstance(expires, int) else -1,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with this step: multiply all gradients by ``clip`` (≤ 1), or skip the update."""

    clip: float = 1.0
    skip: bool = False


PROCEED = Decision()


def decide(guard: Guard, grad_norm: float, step: int, consecutive_skips: int) -> Decision:
    """Judge one step by the guard.

    Args:
        guard: The armed guard.
        grad_norm: Global gradient norm before clipping.
        step: The step about to be made.
        consecutive_skips: How many updates were skipped directly before this one; at
            ``guard.max_consecutive_skips`` no more are skipped, or a run could stand still.
    """
    if step > guard.expires_step:
        return PROCEED
    if _unacceptable(guard, grad_norm) and consecutive_skips < guard.max_consecutive_skips:
        return Decision(skip=True)
    if guard.max_norm is None or not math.isfinite(grad_norm) or grad_norm <= guard.max_norm:
        return PROCEED
    return Decision(clip=min(1.0, guard.max_norm / (grad_norm + 1e-6)))  # as clip_grad_norm_ does


def _unacceptable(guard: Guard, grad_norm: float) -> bool:
    if not math.isfinite(grad_norm):
        return guard.skip_nonfinite
    return guard.skip_above is not None and grad_norm > guard.skip_above


def _limit(value: object) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(value)
