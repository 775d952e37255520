"""one-layer: a single layer explodes, the others are calm."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, shrink_layer_grad
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.situation import Situation

_HALF = 0.5
_MOST = 0.5


def _first_mover(s: Situation) -> str | None:
    if s.mover is None or not s.mover.hot:
        return None
    return f"{s.mover.name} left its usual range first"


def _large_share(s: Situation) -> str | None:
    if s.mover is None or s.mover.share is None or not s.mover.hot or s.mover.share < _HALF:
        return None
    return f"{s.mover.name} carries {s.mover.share:.0%} of the squared gradient"


def _embedding(s: Situation) -> str | None:
    if s.mover is None or s.mover.kind != "embedding" or not s.mover.hot:
        return None
    return f"{s.mover.name} is an embedding: rare tokens give rare, large gradients"


def _all_move(s: Situation) -> str | None:
    if s.moving < _MOST:
        return None
    return f"{s.moving:.0%} of the layers move"


def _explain(s: Situation) -> str:
    name = s.mover.name if s.mover is not None else "one layer"
    return (
        f"Since step {s.onset_step} the gradient of {name} is far outside its usual range while "
        "most other layers are calm. Its steps are therefore too large for it alone; its output "
        "changes faster than the layers after it can follow, and the disturbance spreads from "
        "there. Damping this layer for a while leaves the others alone."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    damp = (shrink_layer_grad(s, s.mover.name),) if s.mover is not None else ()
    return (*damp, clip_grad_norm(s))


CAUSE = Cause(
    id="one-layer",
    title="One layer out of line",
    headline="One layer explodes",
    order=45,
    explains=frozenset({"gradient-growth", "gradient-spike", "loss-spike", "overflow-headroom"}),
    signs=(
        Sign("first-mover", 3, _first_mover),
        Sign("large-share", 2, _large_share),
        Sign("embedding", 2, _embedding),
        Sign("all-layers-move", -3, _all_move),
    ),
    explain=_explain,
    advise=_advise,
)
