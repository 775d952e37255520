"""scale_lr {factor}: multiply the learning rate by a factor, whatever the schedule does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number
from gradwatch.autopilot.rates import Change
from gradwatch.integrations.bench import Bench, Undo


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Hold the rate at ``factor`` times its schedule."""
    factor = number(params.get("factor"))
    if factor is None or factor <= 0.0 or not bench.rate.add(Change(key, factor=factor)):
        return None
    return lambda: bench.rate.remove(key)
