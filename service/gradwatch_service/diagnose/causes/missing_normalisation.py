"""missing-normalisation: the weights of a deep plain net have grown until its depth amplifies."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm
from gradwatch_service.diagnose.actions.model import normalise
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import no_norm_layers
from gradwatch_service.diagnose.situation import Situation

_LATE = 64


def _late(s: Situation) -> str | None:
    """The signal grows with depth since after report 64."""
    held = s.held.get("depth-explosion")
    if held is None or held.opened_ordinal <= _LATE:
        return None
    return f"the signal grows with depth since step {held.opened_step}, not from the start"


def _growing(s: Situation) -> str | None:
    """The signal grows with depth, and the norm with time."""
    if not s.sees("depth-explosion") or not s.sees("gradient-growth", "gradient-creep"):
        return None
    return "the gradient norm is still growing"


def _norms_gone(s: Situation) -> str | None:
    """The normalisation layers got gradients before, and get none any more."""
    return "the normalisation layers get no gradient any more" if s.norms_gone else None


def _plain_net(s: Situation) -> str | None:
    """The signal grows with depth, and no layer is normalised."""
    return no_norm_layers(s) if s.sees("depth-explosion") else None


def _explain(s: Situation) -> str:
    fact = s.fact("depth-explosion", "depth-explosion")
    seen = "" if fact is None else f" Now {fact.text}."
    return (
        "Nothing in this network keeps the size of the signal constant from layer to layer, and "
        f"since step {s.onset_step} its depth amplifies the gradient.{seen} Each layer multiplies "
        "what the next one sends back; as the weights grow in training, so does this product, and "
        "the layers nearest the input get steps far too large. Normalisation or residual "
        "connections remove the product."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (clip_grad_norm(s), normalise(s, "depth-explosion"))


CAUSE = Cause(
    id="missing-normalisation",
    title="Missing normalisation",
    headline="Gradients explode through the depth of the network",
    order=55,
    explains=EXPLOSION | {"depth-explosion"},
    signs=(
        Sign("norms-gone", 10, _norms_gone),
        Sign("late-depth-explosion", 3, _late),
        Sign("growing", 2, _growing),
        Sign("no-normalisation", 2, _plain_net),
    ),
    explain=_explain,
    advise=_advise,
)
