"""Courses and alerts as the demo's verdict and narrative see them."""

from __future__ import annotations

import math
from typing import Any

from gradwatch_service.demo.job import Course, Heard

ALERT: dict[str, Any] = {
    "id": "a",
    "rule": "explosion-through-time",
    "cause": "explosion-through-time",
    "severity": "error",
    "state": "firing",
    "confidence": 0.88,
    "opened_step": 38,
    "last_step": 70,
    "layers": ["W_hh", "W_xh"],
    "title": "Gradients explode through time in W_hh",
    "explanation": "The same matrix multiplies the gradient at every time step. " * 5,
    "evidence": [{"text": "it grows by 81"}, {"text": "it grows by 81"}, {"text": "β = 0.1"}],
    "advice": [
        {
            "title": "Clip the gradient norm at 14.2",
            "text": "Scale every gradient down to 14.2. " * 4,
            "class": 1,
            "params": {"max_norm": 14.2},
        },
        {"title": "Use a gated cell", "text": "Replace it.", "class": 4, "params": {}},
    ],
}


def exploded(heard_step: int = 39, **changed: Any) -> Course:
    """Learns for 60 steps, is ruined at step 67, and ends at step 93 without a number."""
    loss = [1.0] * 20 + [0.1] * 40 + [1.0] * 30 + [math.nan] * 3
    heard = {"a": Heard(heard_step, ALERT | changed)}
    return Course(loss=loss, grad_norm=[2.0] * 90 + [math.nan] * 3, heard=heard)


def survived(final: float = 0.01, steps: int = 100) -> Course:
    return Course(
        loss=[1.0] * 20 + [final] * (steps - 20),
        grad_norm=[2.0] * steps,
        clipped=[40, 41, 42],
        skipped=[50],
        applied=((40, "Back-propagate through at most 55 time steps"),),
    )
