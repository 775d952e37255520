"""vanishing-gradients: the first layers get practically no gradient and do not learn."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.model import unsaturate
from gradwatch_service.diagnose.actions.rate import scale_lr
from gradwatch_service.diagnose.actions.weights import reinit_layers
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import rate_near_zero, told_by
from gradwatch_service.diagnose.situation import Situation

_TINY_RATIO = 1e-6
_RAISE = 10.0
_MIN_SATURATING = 2


def _saturating_chain(s: Situation) -> str | None:
    """At least two layers use sigmoid or tanh."""
    names = [x.name for x in s.layers.layers if x.activation.lower() in {"sigmoid", "tanh"}]
    return f"{len(names)} layers use sigmoid or tanh" if len(names) >= _MIN_SATURATING else None


def _explain(s: Situation) -> str:
    first = "" if s.mover is None else f", {s.mover.name} above all"
    return (
        f"Since step {s.onset_step} at the latest the gradient gets lost on its way back to the "
        f"first layers{first}. Each layer shrinks what the next one sends back, and over many "
        "layers nothing is left. These layers stay as they were initialised; the rest of the "
        "network has to work with what they give, so the loss stops falling early. It does not "
        "explode: it does not learn."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    rule = "depth-vanishing" if s.sees("depth-vanishing") else "vanishing-absolute"
    small = {name: gain for name, gain in s.gains.items() if gain < 1}
    return (
        unsaturate(s, rule),
        *((reinit_layers(s, small),) if small else ()),
        *((scale_lr(s, _RAISE),) if s.uw is not None and s.uw < _TINY_RATIO else ()),
    )


CAUSE = Cause(
    id="vanishing-gradients",
    title="Vanishing gradients",
    headline="Gradients vanish",
    order=70,
    explains=frozenset(
        {"depth-vanishing", "loss-plateau", "update-ratio-low", "vanishing-absolute"}
    ),
    signs=(
        Sign("vanishes-with-depth", 3, told_by("depth-vanishing")),
        Sign("practically-zero", 3, told_by("vanishing-absolute")),
        Sign("saturating-activations", 1, _saturating_chain),
        Sign("rate-near-zero", -3, rate_near_zero),
        Sign("units-dead", -3, told_by("dead-layer")),
    ),
    explain=_explain,
    advise=_advise,
)
