"""explosion-through-time: the same recurrent matrix multiplies the gradient at every time step."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, truncate_bptt, truncation
from gradwatch_service.diagnose.actions.model import use_gated_cell
from gradwatch_service.diagnose.actions.weights import reinit_recurrent
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by
from gradwatch_service.diagnose.situation import Situation


def _recurrent_first(s: Situation) -> str | None:
    """A recurrent layer left its usual range (z ≥ 6) before the others."""
    if s.mover is None or s.mover.kind != "recurrent" or not s.mover.hot:
        return None
    return f"the recurrent layer {s.mover.name} left its usual range first"


def _recurrent_layer(s: Situation) -> str | None:
    return next((x.name for x in s.layers.layers if x.kind == "recurrent"), None)


def _explain(s: Situation) -> str:
    layer = _recurrent_layer(s)
    matrix = layer or "the recurrent matrix"
    rate = "" if not s.beta else f" It grows by a factor of {2.0**s.beta:.3g} per time step."
    return (
        "On its way back through the time steps of a sequence the gradient is multiplied by "
        f"{matrix} once per step; since step {s.onset_step} that makes it grow.{rate} Over a whole "
        "sequence the product becomes huge, a single update then throws the weights far away, and "
        "the run diverges. Clipping the norm keeps such an update small; a shorter backward pass, "
        "an orthogonal start or a gated cell removes the growth."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    steps, layer = truncation(s.beta), _recurrent_layer(s)
    return (
        clip_grad_norm(s),
        *((truncate_bptt(s, steps),) if steps is not None else ()),
        *((reinit_recurrent(s, layer),) if layer is not None else ()),
        use_gated_cell(s),
    )


CAUSE = Cause(
    id="explosion-through-time",
    title="Explosion through time",
    headline="Gradients explode through time",
    order=65,
    explains=EXPLOSION | {"explosion-through-time"},
    signs=(
        Sign("grows-through-time", 4, told_by("explosion-through-time")),
        Sign("recurrent-layer-first", 2, _recurrent_first),
    ),
    explain=_explain,
    advise=_advise,
)
