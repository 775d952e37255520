"""How far a training job is, where its config says how long it shall be."""

from __future__ import annotations

from collections.abc import Mapping

from gradwatch_service.domain import MAX_STEP, JsonValue

TOTALS = ("max_steps", "total_steps", "num_steps", "train_steps", "max_iters", "steps")


def total_steps(config: Mapping[str, JsonValue]) -> int | None:
    """The number of steps that the job is to make; None if it did not say."""
    for name in TOTALS:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_STEP:
            return value
    return None
