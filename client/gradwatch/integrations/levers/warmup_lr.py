"""warmup_lr {steps, target_lr, start_factor}: raise the learning rate slowly from here on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number, step_of
from gradwatch.autopilot.rates import Change
from gradwatch.integrations.bench import Bench, Undo


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Multiply the rate by a factor rising from ``start_factor`` to 1; cap it at ``target_lr``."""
    steps, start = step_of(params.get("steps"), 0), number(params.get("start_factor"))
    target = number(params.get("target_lr"))
    if steps <= 0 or start is None or not 0.0 <= start <= 1.0:
        return None
    cap = target if target is not None and target > 0.0 else math.inf
    change = Change(key, cap=cap, since=bench.step, steps=steps, start=start)
    return (lambda: bench.rate.remove(key)) if bench.rate.add(change) else None
