"""clip-missing-or-loose: gradients spike again and again, or grow, and no limit holds them."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, healthy_norm, skip_step
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import spikes_recur
from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import Severity

LOOSE_FACTOR = 8


def _no_limit(s: Situation) -> str | None:
    """No clipping limit, or one too high to matter."""
    if not s.clip_norm:
        return "the job reports no clipping limit"
    if s.clip_norm >= LOOSE_FACTOR * healthy_norm(s):
        return f"the clipping limit {s.clip_norm:.3g} is at least {LOOSE_FACTOR} times too high"
    return None


def _spike_passed(s: Situation) -> str | None:
    if not s.at_least("gradient-spike", Severity.ERROR):
        return None
    limit = _no_limit(s)
    return f"a spike of ten times the usual norm and more passed: {limit}" if limit else None


def _growth_passes(s: Situation) -> str | None:
    limit = _no_limit(s) if s.sees("gradient-growth") else None
    return f"the gradient norm grows freely: {limit}" if limit else None


def _explain(s: Situation) -> str:
    grows = s.sees("gradient-growth")
    times = f"has jumped, {s.spikes} times in 1,024 reports and last at step {s.onset_step}"
    what = f"has been growing since step {s.onset_step}" if grows else times
    return (
        f"The gradient norm {what}, and no clipping limit holds it. Each such step moves the "
        "weights as many times too far as the norm is too large, and the run may not find back. A "
        "limit at the top of the healthy range leaves normal steps as they are and takes the "
        "force out of these."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (clip_grad_norm(s), skip_step(s))


CAUSE = Cause(
    id="clip-missing-or-loose",
    title="Missing or loose clipping",
    headline="Unclipped gradients",
    order=40,
    explains=frozenset({"gradient-growth", "gradient-spike", "loss-spike"}),
    signs=(
        Sign("spike-not-clipped", 3, _spike_passed),
        Sign("spikes-recur", 2, spikes_recur),
        Sign("growth-not-clipped", 1, _growth_passes),
    ),
    explain=_explain,
    advise=_advise,
)
