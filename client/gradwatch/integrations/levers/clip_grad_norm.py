"""clip_grad_norm {max_norm}: the guard does it; before it knows a limit, this one counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number
from gradwatch.guard import Guard
from gradwatch.integrations.bench import Bench, Undo

LIFETIME = 256  # like a guard that is not refreshed


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Clip at ``max_norm`` for 256 steps, or as soon as there is one by the guard's own limit."""
    del key
    limit = number(params.get("max_norm"))
    if limit is None or limit <= 0.0:
        return None
    expires = bench.step + LIFETIME
    bench.floor_guard = Guard(max_norm=limit, skip_nonfinite=False, expires_step=expires)

    def undo() -> None:
        bench.floor_guard = Guard()

    return undo
