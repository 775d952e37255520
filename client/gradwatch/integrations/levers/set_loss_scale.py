"""set_loss_scale {loss_scale}: set the scale of a ``torch.amp.GradScaler``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number
from gradwatch.integrations.bench import Bench, Undo, nothing


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Set it for the next forward pass; this step's gradients are unscaled already.

    Not by ``scaler.update(new_scale)``, which would forget that they are.
    """
    del key
    scale, scaler = number(params.get("loss_scale")), bench.scaler
    if scale is None or scale <= 0.0 or scaler is None or not scaler.is_enabled():
        return None
    scaler.load_state_dict({**scaler.state_dict(), "scale": scale})
    return nothing  # a dynamic scale goes its own way from here
