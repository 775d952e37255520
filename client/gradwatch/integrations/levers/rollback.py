"""rollback {to_step, skip_data_to_step}: load an earlier checkpoint through the user's callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwatch.integrations.bench import Bench, Undo, nothing


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Load it; the gradients at hand belong to other weights and are not applied."""
    del key
    done = bench.callbacks.load(params["to_step"], params["skip_data_to_step"])
    return nothing if done else None
