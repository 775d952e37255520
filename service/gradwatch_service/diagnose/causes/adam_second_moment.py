"""adam-second-moment: the optimizer divides by what gradients were long ago, and overshoots."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.optimizer import reset_moments, set_adam
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import sudden, told_by
from gradwatch_service.diagnose.situation import Situation

LAGS_FROM = 2.3
_LONG_MEMORY = 0.99
_told = told_by("adam-moment-lag")
_ADAM_BETA2 = 0.999


def _lags(s: Situation) -> str | None:
    """rms(g/√v) is ≥ 2.3, by its rule, or in the median layer after a sudden jump."""
    told = _told(s)
    if told is not None or not sudden(s) or s.lag is None or s.lag < LAGS_FROM:
        return told
    return f"gradients are {s.lag:.2g} times what the second moment allows for (1 is right)"


def _sudden(s: Situation) -> str | None:
    """The gradient jumped in one report, and the optimizer divides by a second moment."""
    return sudden(s) if s.facts.adaptive else None


def _long_memory(s: Situation) -> str | None:
    """The second moment lags, or the gradient jumped, in an Adam with β₂ ≥ .99."""
    beta2 = _ADAM_BETA2 if s.facts.beta2 is None else s.facts.beta2
    if not s.facts.adaptive or beta2 < _LONG_MEMORY or not (_lags(s) or _sudden(s)):
        return None
    return f"β₂ = {beta2:g} remembers the gradients of {1 / (1 - min(beta2, 0.99999)):.0f} steps"


def _explain(s: Situation) -> str:
    beta2 = "" if s.facts.beta2 is None else f" (β₂ = {s.facts.beta2:g})"
    return (
        f"Since step {s.onset_step} the gradients{s.place} are larger than the optimizer's second "
        f"moment{beta2} has learnt yet. It divides by the root of that moment, so the updates come "
        "out too large by the same factor. The larger updates make the next gradients larger "
        "still, and the moment lags behind again; spikes of the loss follow. A shorter memory, or "
        "a limit on the update, ends this."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (set_adam(s), reset_moments(s))


CAUSE = Cause(
    id="adam-second-moment",
    title="Second moment out of date",
    headline="Adam's second moment lags behind",
    order=38,
    explains=EXPLOSION | {"adam-moment-lag"},
    signs=(
        Sign("moment-lags", 3, _lags),
        Sign("sudden", 2, _sudden),
        Sign("long-memory", 1, _long_memory),
    ),
    explain=_explain,
    advise=_advise,
)
