"""truncate_bptt {time_steps}: back-propagate through fewer time steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gradwatch.autopilot.advice import step_of
from gradwatch.integrations.bench import Bench, Undo


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Tell the user's callback, or the loop that reads ``monitor.bptt_steps``."""
    del key
    steps = step_of(params.get("time_steps"), 0)
    if steps <= 0:
        return None
    if bench.callbacks.truncate(steps):
        return partial(_lengthen, bench)
    if not bench.truncation.is_read:
        return None
    bench.truncation.set(steps)
    return partial(bench.truncation.set, None)


def _lengthen(bench: Bench) -> None:
    bench.callbacks.truncate(None)
