"""data-outlier: one bad batch; the run itself is healthy."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import skip_step
from gradwatch_service.diagnose.actions.rewind import skip_batches
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import growth_before, spikes_recur, updates_large
from gradwatch_service.diagnose.situation import Situation

_SHORT = 3
_SAME = 1


def _isolated(s: Situation) -> str | None:
    if growth_before(s) or s.high_reports > _SHORT or not s.sees("gradient-spike", "loss-spike"):
        return None
    return f"at most {_SHORT} of the last 16 reports are out of range, with no lasting fault around"


def _loss_too(s: Situation) -> str | None:
    fact = s.fact("gradient-spike", "loss-jump")
    if fact is not None:
        return fact.text
    gradient, loss = s.held.get("gradient-spike"), s.held.get("loss-spike")
    if gradient is None or loss is None:
        return None
    together = abs(gradient.opened_ordinal - loss.opened_ordinal) <= _SAME
    return "loss and gradient jumped together" if together else None


def _rising(s: Situation) -> str | None:
    if s.sees("gradient-growth"):
        return "the gradient norm keeps growing"
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
    explains=frozenset({"gradient-spike", "loss-spike"}),
    signs=(
        Sign("isolated", 3, _isolated),
        Sign("loss-jumps-too", 2, _loss_too),
        Sign("updates-large", -2, updates_large),
        Sign("rising", -2, _rising),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
