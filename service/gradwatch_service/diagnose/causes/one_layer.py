"""one-layer: a single layer explodes, the others are calm."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, shrink_layer_grad
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import MIN_LAYERS, sudden, told_by
from gradwatch_service.diagnose.situation import Mover, Situation

_HALF = 0.5
_MOST = 0.5
_ALONE = 0.9


def _out_of_range(s: Situation) -> Mover | None:
    """The first mover if it runs hot (z ≥ 6) or spikes by itself, and is one of several layers."""
    mover = s.mover
    if mover is None or not (mover.hot or s.sees("layer-spike")):
        return None
    return mover if len(s.layers) >= MIN_LAYERS or mover.kind == "embedding" else None


def _first_mover(s: Situation) -> str | None:
    """One layer left its usual range before the others."""
    mover = _out_of_range(s)
    return f"{mover.name} left its usual range first" if mover is not None else None


def _large_share(s: Situation) -> str | None:
    """The first mover carries at least half of the squared gradient."""
    mover = _out_of_range(s)
    if mover is None or mover.share is None or mover.share < _HALF:
        return None
    return f"{mover.name} carries {mover.share:.0%} of the squared gradient"


def _embedding(s: Situation) -> str | None:
    """The first mover is an embedding."""
    mover = _out_of_range(s)
    if mover is None or mover.kind != "embedding":
        return None
    return f"{mover.name} is an embedding: rare tokens give rare, large gradients"


def _all_move(s: Situation) -> str | None:
    """At least half of the layers move, and none of them carries nearly all of the gradient."""
    alone = s.mover is not None and (s.mover.share or 0.0) >= _ALONE
    if s.moving < _MOST or len(s.layers) < MIN_LAYERS or alone:
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
    damp = (shrink_layer_grad(s, s.mover),) if s.mover is not None else ()
    return (*damp, clip_grad_norm(s))


CAUSE = Cause(
    id="one-layer",
    title="One layer out of line",
    headline="One layer explodes",
    order=45,
    explains=EXPLOSION | {"attention-logit"},
    signs=(
        Sign("first-mover", 3, _first_mover),
        Sign("large-share", 2, _large_share),
        Sign("embedding", 2, _embedding),
        Sign("sudden", 1, sudden),
        Sign("all-layers-move", -3, _all_move),
        Sign("grows-with-depth", -3, told_by("depth-explosion")),
    ),
    explain=_explain,
    advise=_advise,
)
