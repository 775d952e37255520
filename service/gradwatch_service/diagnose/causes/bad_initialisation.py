"""bad-initialisation: the initial weights amplify the signal layer after layer."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.model import normalise
from gradwatch_service.diagnose.actions.rate import warmup_lr, warmup_steps
from gradwatch_service.diagnose.actions.weights import reinit_layers
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import (
    depth_profile_off,
    init_gain_seen,
    normalised_or_residual,
)
from gradwatch_service.diagnose.situation import Situation

_FIRST_REPORTS = 3


def _at_once(s: Situation) -> str | None:
    """The trouble began within the first four reports."""
    if s.onset_ordinal > _FIRST_REPORTS:
        return None
    return f"it began within the first {_FIRST_REPORTS + 1} reports (step {s.onset_step})"


def _explain(s: Situation) -> str:
    worst = max(s.gains, key=lambda name: s.gains[name]) if s.gains else None
    most = "" if worst is None else f" {worst} alone multiplies it by {s.gains[worst]:.3g}."
    return (
        f"The weights the run started from (step {s.onset_step}) do not keep the size of the "
        f"signal from layer to layer.{most} A factor a little off 1 in each layer becomes an "
        "enormous or a vanishing number after many layers, forwards for the activations and "
        "backwards for the gradients. No learning rate suits all layers of such a network: the "
        "weights have to be scaled before training."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    reinit = (reinit_layers(s, s.gains),) if s.gains else ()
    start = "after the weights are repaired"
    return (
        *reinit,
        normalise(s, "init-gain-profile"),
        warmup_lr(s, warmup_steps(s), s.lr, start),
    )


CAUSE = Cause(
    id="bad-initialisation",
    title="Bad initialisation",
    headline="The initial weights are badly scaled",
    order=50,
    explains=EXPLOSION
    | {"depth-explosion", "depth-vanishing", "init-gain-profile", "update-ratio-low"},
    signs=(
        Sign("initial-gain", 5, init_gain_seen),
        Sign("from-the-first-reports", 2, _at_once),
        Sign("depth-profile", 2, depth_profile_off),
        Sign("normalised-or-residual", -4, normalised_or_residual),
    ),
    explain=_explain,
    advise=_advise,
)
