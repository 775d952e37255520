"""The armed guard: numbers from the service, judged here before ``optimizer.step()``; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MAX_SKIPS, SKIP_MEMORY = 10, 512  # at most ten updates are skipped in 512 steps


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

    @property
    def limit(self) -> float:
        """To what a gradient is clipped that is unacceptable and may not be skipped."""
        return self.max_norm or self.skip_above or 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with this step: multiply all gradients by ``clip`` (≤ 1), or skip the update.

    ``sanitise_to``: the gradient holds NaN or infinity and too many updates were skipped already.
    Set those entries to zero and clip the rest to this norm.
    """

    clip: float = 1.0
    skip: bool = False
    sanitise_to: float | None = None


PROCEED = Decision()
SKIP = Decision(skip=True)


@dataclass(frozen=True, slots=True)
class Skips:
    """The updates skipped so far: how many directly before now, and the steps of the last ten.

    Without a bound a run could stand still for good: skipped norms never reach the baseline from
    which the limit comes.
    """

    in_a_row: int = 0
    steps: tuple[int, ...] = ()

    def allows(self, guard: Guard, step: int) -> bool:
        """Whether one more update may be skipped at this step."""
        recent = sum(step - at < SKIP_MEMORY for at in self.steps)
        return self.in_a_row < guard.max_consecutive_skips and recent < MAX_SKIPS

    def after(self, decision: Decision, step: int) -> Skips:
        """The memory after a decision."""
        if decision.skip:
            return Skips(self.in_a_row + 1, (*self.steps, step)[-MAX_SKIPS:])
        return Skips(0, self.steps) if self.in_a_row else self


def decide(guard: Guard, grad_norm: float, step: int, skips: Skips) -> Decision:
    """Judge one step by the guard.

    Args:
        guard: The armed guard.
        grad_norm: Global gradient norm before clipping.
        step: The step about to be made.
        skips: The updates skipped before; past its bounds a gradient is mended instead.
    """
    if step > guard.expires_step:
        return PROCEED
    finite = math.isfinite(grad_norm)
    if _unacceptable(guard, grad_norm):
        if skips.allows(guard, step):
            return SKIP
        return _clipped(guard.limit, grad_norm) if finite else Decision(sanitise_to=guard.limit)
    if guard.max_norm is None or not finite or grad_norm <= guard.max_norm:
        return PROCEED
    return _clipped(guard.max_norm, grad_norm)


def _clipped(limit: float, grad_norm: float) -> Decision:
    return Decision(clip=min(1.0, limit / (grad_norm + 1e-6)))  # as clip_grad_norm_ does


def _unacceptable(guard: Guard, grad_norm: float) -> bool:
    if not math.isfinite(grad_norm):
        return guard.skip_nonfinite
    return guard.skip_above is not None and grad_norm > guard.skip_above


def _limit(value: object) -> float | None:
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    return float(value)
