"""cap_lr {max_lr}: never let the schedule go over a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number
from gradwatch.autopilot.rates import Change
from gradwatch.integrations.bench import Bench, Undo


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Keep the highest rate at or below ``max_lr``; other parameter groups keep their share."""
    cap = number(params.get("max_lr"))
    if cap is None or cap <= 0.0 or not bench.rate.add(Change(key, cap=cap)):
        return None
    return lambda: bench.rate.remove(key)
