"""explosion-through-time: the same recurrent matrix multiplies the gradient at every time step."""

from __future__ import annotations

from gradwatch_service.detect.fixedpoint import power
from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, truncate_bptt, truncation
from gradwatch_service.diagnose.actions.model import use_gated_cell
from gradwatch_service.diagnose.actions.weights import reinit_recurrent
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by
from gradwatch_service.diagnose.situation import Situation

_SOME_BITS = 4.5
_MATRIX = 2
_GATES = (1, 3, 4)  # blocks of a plain cell, a GRU, an LSTM


def _grows_somewhat(s: Situation) -> str | None:
    """The gradient grows by 4.5 bits and more on its way back, though its rule is not sure yet."""
    if s.sees("explosion-through-time") or s.through is None or s.through < _SOME_BITS:
        return None
    return f"back through the sequence the gradient grows by a factor of {power(s.through):.3g}"


def _recurrent_first(s: Situation) -> str | None:
    """A recurrent layer left its usual range (z ≥ 6) before the others."""
    if s.mover is None or s.mover.kind != "recurrent" or not s.mover.hot:
        return None
    return f"the recurrent layer {s.mover.name} left its usual range first"


def _recurrent_layer(s: Situation) -> str | None:
    """The matrix from state to state: by its name, else by its shape of square blocks."""
    layers = [x for x in s.layers.layers if x.kind == "recurrent"]
    matrices = [x for x in layers if len(x.shape) == _MATRIX]
    named = [x for x in matrices if "hh" in x.name.lower()]
    square = [x for x in matrices if x.shape[0] in {n * x.shape[1] for n in _GATES}]
    return next((x.name for x in (*named, *square, *layers)), None)


def _explain(s: Situation) -> str:
    layer = _recurrent_layer(s)
    matrix = layer or "the recurrent matrix"
    rate = "" if not s.beta else f" It grows by a factor of {power(s.beta):.3g} per time step."
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
        Sign("grows-somewhat", 3, _grows_somewhat),
        Sign("recurrent-layer-first", 2, _recurrent_first),
    ),
    explain=_explain,
    advise=_advise,
)
