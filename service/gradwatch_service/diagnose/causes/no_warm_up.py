"""no-warm-up: the run starts at its full learning rate, before it knows its gradients."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import warmup_lr, warmup_steps
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.causes.learning_rate_too_high import USUAL_ADAM
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import (
    BEGINNING,
    init_gain_seen,
    loss_diverges,
    net_dies,
    updates_large,
)
from gradwatch_service.diagnose.situation import Situation


def _full_rate_at_once(s: Situation) -> str | None:
    """An explosion within 32 reports, at a rate that began at ≥ 80 % of its highest."""
    if (s.onset_ordinal > BEGINNING and not net_dies(s)) or not s.rates.without_warm_up:
        return None
    troubles = updates_large(s), loss_diverges(s), net_dies(s), s.sees("early-explosion")
    if not any(troubles):
        return None
    return f"the run began at {s.rates.first:.3g}, at least 80 % of its highest learning rate"


def _adaptive(s: Situation) -> str | None:
    """Trouble within 32 reports, with an optimizer of the Adam family at a rate that is usual."""
    usual = s.facts.adaptive and (s.lr is None or s.lr <= USUAL_ADAM)
    if not usual or _full_rate_at_once(s) is None:
        return None
    return f"{s.facts.optimizer} divides by a second moment that it does not know yet at the start"


def _explain(s: Situation) -> str:
    rate = "" if s.lr is None else f" ({s.lr:.3g})"
    return (
        f"The run starts at its full learning rate{rate} and is in trouble at step {s.onset_step}, "
        "within its first steps. At the start the gradients are large and point in changing "
        "directions, and the optimizer has no estimate of their size yet. The first updates then "
        "throw the weights far from where they began, and the gradients explode. A warm-up lets "
        "both settle first."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    start = "from the start of the run, or from a checkpoint"
    return (warmup_lr(s, warmup_steps(s), s.lr, start),)


CAUSE = Cause(
    id="no-warm-up",
    title="No warm-up",
    headline="The learning rate is not warmed up",
    order=60,
    explains=EXPLOSION | {"dead-layer"},
    signs=(
        Sign("full-rate-at-once", 3, _full_rate_at_once),
        Sign("adaptive-optimizer", 2, _adaptive),
        Sign("net-dies", 2, net_dies),
        Sign("initial-gain", -3, init_gain_seen),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
