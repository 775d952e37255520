"""heavy-tailed-but-healthy: this run's gradients jump every now and then, and it learns well."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.guard import arm_guard
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import growth_before, loss_diverges, updates_large
from gradwatch_service.diagnose.situation import (
    ESCALATING,
    LEVEL_SHIFT,
    RECURRENT_SPIKES,
    SPIKES,
    Situation,
)
from gradwatch_service.domain import Severity

_WIDE = 10.0


def _wide_range(s: Situation) -> str | None:
    """The usual extremes of the noise have widened the spike limit beyond 10 scales."""
    return f"spikes up to {s.tail:.1f} scales are usual in this run" if s.tail > _WIDE else None


def _comes_and_goes(s: Situation) -> str | None:
    """Four spikes that came and went in a run whose loss is lower than long ago; none stays."""
    if not s.sees(*SPIKES) or s.spikes < RECURRENT_SPIKES or not s.lower:
        return None
    if s.spike_class in {LEVEL_SHIFT, ESCALATING}:
        return None
    return f"{s.spikes} spikes came and went in 1,024 reports, and the loss is lower than before"


def _severe(s: Situation) -> str | None:
    """A spike of severity error: ten times the usual norm, and the loss jumps with it."""
    if not s.at_least("gradient-spike", Severity.ERROR):
        return None
    return "gradient and loss jump together, the gradient to ten times its usual norm and more"


def _explain(s: Situation) -> str:
    return (
        f"The spike of step {s.onset_step} is one of {s.spikes} in 1,024 reports, and the run "
        "recovers from each by itself: the loss is lower than before. Rare samples, small batches "
        "or a game against another network give such heavy tails, and nothing needs repair. The "
        "armed guard bounds what a single step can do."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (arm_guard(s),)


CAUSE = Cause(
    id="heavy-tailed-but-healthy",
    title="Heavy tails, a healthy run",
    headline="Spikes come and go",
    order=28,
    explains=frozenset({"clip-ineffective", "gradient-spike", "layer-spike", "loss-spike"}),
    signs=(
        Sign("wide-range", 2, _wide_range),
        Sign("comes-and-goes", 3, _comes_and_goes),
        Sign("updates-large", -3, updates_large),
        Sign("severe", -3, _severe),
        Sign("not-healthy-before", -3, growth_before),
        Sign("loss-diverges", -3, loss_diverges),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
    calls=False,
)
