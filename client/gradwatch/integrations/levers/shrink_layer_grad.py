"""shrink_layer_grad {layer, alpha, steps, ramp_steps}: let one layer learn slowly for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number, step_of
from gradwatch.integrations.bench import Bench, Undo
from gradwatch.integrations.damping import Damper


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Multiply the gradient of ``layer`` by ``alpha``, from the next step on."""
    parameter = bench.parameters.get(str(params.get("layer")))
    alpha, steps = number(params.get("alpha")), step_of(params.get("steps"), 0)
    if parameter is None or alpha is None or not 0.0 <= alpha < 1.0 or steps <= 0:
        return None
    ramp = max(0, step_of(params.get("ramp_steps"), steps))
    bench.damping.put(key, Damper(parameter, bench.step + 1, alpha, steps, ramp))
    return lambda: bench.damping.drop(key)
