"""no-warm-up: the run starts at its full learning rate, before it knows its gradients."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import warmup_lr, warmup_steps
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import BEGINNING, init_gain_seen
from gradwatch_service.diagnose.situation import Situation


def _full_rate_at_once(s: Situation) -> str | None:
    if s.onset_ordinal > BEGINNING or not s.rates.without_warm_up:
        return None
    return f"the run began at {s.rates.first:.3g}, at least 80 % of its highest learning rate"


def _first_step_huge(s: Situation) -> str | None:
    held = s.held.get("update-step-huge")
    if held is None or held.opened_ordinal > 0:
        return None
    return held.evidence[0].text if held.evidence else "the very first update was huge"


def _adaptive(s: Situation) -> str | None:
    if not s.facts.adaptive:
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
    explains=frozenset(
        {
            "early-explosion",
            "gradient-growth",
            "gradient-spike",
            "loss-above-initial",
            "loss-divergence",
            "loss-spike",
            "non-finite",
            "update-ratio-high",
            "update-step-huge",
        }
    ),
    signs=(
        Sign("full-rate-at-once", 3, _full_rate_at_once),
        Sign("first-step-huge", 3, _first_step_huge),
        Sign("adaptive-optimizer", 1, _adaptive),
        Sign("initial-gain", -3, init_gain_seen),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
