"""data-outlier: one bad batch; the run itself is healthy."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.guard import skip_step
from gradwatch_service.diagnose.actions.rewind import skip_batches
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import (
    growth_before,
    phase_announced,
    spike_broke,
    spikes_recur,
    struck,
    sudden,
    updates_large,
)
from gradwatch_service.diagnose.situation import (
    ESCALATING,
    ISOLATED,
    LEVEL_SHIFT,
    RECURRENT,
    RECURRENT_SPIKES,
    SPIKES,
    Situation,
)

_SHORT = 3
_SAME = 1


def _isolated(s: Situation) -> str | None:
    """Few reports are out of range and the level came back, or may still; no lasting fault."""
    if growth_before(s) or not s.sees(*SPIKES) or s.spikes >= RECURRENT_SPIKES or spike_broke(s):
        return None
    if s.spike_class == RECURRENT and s.burst:
        return f"{s.high_reports} reports on end were out of range, then the level came back"
    if s.spike_class not in {None, ISOLATED} or s.high_reports > _SHORT:
        return None
    return f"at most {_SHORT} of the last 16 reports are out of range, with no lasting fault around"


def _loss_too(s: Situation) -> str | None:
    """Loss and gradient jumped in the same report, or in two that follow each other."""
    if spike_broke(s):
        return None
    fact = s.fact("gradient-spike", "loss-jump") or s.fact("loss-spike", "norm-jump")
    if fact is not None:
        return fact.text
    gradient, loss = s.held.get("gradient-spike"), s.held.get("loss-spike")
    if gradient is None or loss is None:
        return None
    together = abs(gradient.opened_ordinal - loss.opened_ordinal) <= _SAME
    return "loss and gradient jumped together" if together else None


def _large_before(s: Situation) -> str | None:
    """Updates are large against the weights, and not in the wake of a blow."""
    return None if struck(s) else updates_large(s)


def _rising(s: Situation) -> str | None:
    """Spikes keep coming; or, not in the wake of a blow, the norm grows or stays at a new level."""
    if s.sees("gradient-growth") and not struck(s):
        return "the gradient norm keeps growing"
    if s.spike_class in {LEVEL_SHIFT, ESCALATING} and not struck(s):
        return "the level has not come back"
    return spikes_recur(s)


def _explain(s: Situation) -> str:
    return (
        f"At step {s.onset_step} one batch gave a gradient or a loss far outside the noise of this "
        "run, and nothing else has changed. That is what a mislabelled, corrupted or unusual "
        "sample does. A single such update can throw the weights far off, after which the run may "
        "diverge; skipping it costs one step. The learning rate need not change."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (skip_step(s), skip_batches(s))


CAUSE = Cause(
    id="data-outlier",
    title="A bad batch",
    headline="One bad batch",
    order=30,
    explains=EXPLOSION,
    signs=(
        Sign("out-of-the-blue", 4, struck),
        Sign("isolated", 3, _isolated),
        Sign("loss-jumps-too", 2, _loss_too),
        Sign("updates-large", -2, _large_before),
        Sign("rising", -2, _rising),
        Sign("sudden", -2, sudden),
        Sign("phase-announced", -4, phase_announced),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
