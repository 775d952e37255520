"""vanishing-gradients: the first layers get practically no gradient and do not learn."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import scale_lr
from gradwatch_service.diagnose.actions.weights import reinit_layers, unsaturate
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.situation import Situation

_NEAR_ZERO = 1e-3
_TINY_RATIO = 1e-6
_RAISE = 10.0
_MIN_SATURATING = 2


def _through_depth(s: Situation) -> str | None:
    fact = s.fact("depth-vanishing", "depth-vanishing")
    return fact.text if fact else None


def _absolute(s: Situation) -> str | None:
    fact = s.fact("vanishing-absolute", "vanishing-absolute")
    return fact.text if fact else None


def _saturating_chain(s: Situation) -> str | None:
    names = [x.name for x in s.layers.layers if x.activation.lower() in {"sigmoid", "tanh"}]
    return f"{len(names)} layers use sigmoid or tanh" if len(names) >= _MIN_SATURATING else None


def _rate_near_zero(s: Situation) -> str | None:
    if s.lr is None or s.lr > _NEAR_ZERO * s.rates.peak:
        return None
    return f"the learning rate is {s.lr:.3g}, near the end of its schedule"


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
    explains=frozenset({"depth-vanishing", "vanishing-absolute"}),
    signs=(
        Sign("vanishes-with-depth", 3, _through_depth),
        Sign("practically-zero", 3, _absolute),
        Sign("saturating-activations", 1, _saturating_chain),
        Sign("rate-near-zero", -3, _rate_near_zero),
    ),
    explain=_explain,
    advise=_advise,
)
