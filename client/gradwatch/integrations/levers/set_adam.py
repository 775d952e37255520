"""set_adam {beta2, eps?}: another memory of the second moment, another floor of the denominator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.autopilot.advice import number
from gradwatch.integrations.bench import Bench, Undo
from gradwatch.integrations.overlay import Groups

NAME = "adam"


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Replace β₂ (and ε) during every step; a scheduler that moves β₁ goes on doing so."""
    del key
    beta2, eps = number(params.get("beta2")), number(params.get("eps"))
    adaptive = all("betas" in group and "eps" in group for group in bench.overlay.groups)
    if beta2 is None or not 0.0 <= beta2 < 1.0 or not adaptive:
        return None
    chosen_eps = {"eps": eps} if eps is not None and eps > 0.0 else {}

    def change(groups: Groups) -> list[dict[str, Any]]:
        return [{"betas": (group["betas"][0], beta2), **chosen_eps} for group in groups]

    return (lambda: bench.overlay.drop(NAME)) if bench.overlay.put(NAME, change) else None
