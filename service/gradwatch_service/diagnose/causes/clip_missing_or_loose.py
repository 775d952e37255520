"""clip-missing-or-loose: gradients spike again and again, or grow, and no limit holds them."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, healthy_norm
from gradwatch_service.diagnose.actions.guard import skip_step
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import growth_before, spike_broke, spikes_recur, told_by
from gradwatch_service.diagnose.situation import RECENTLY, Situation
from gradwatch_service.domain import Severity

LOOSE_FACTOR = 8
_ineffective = told_by("clip-ineffective")


def _no_limit(s: Situation) -> str | None:
    """No clipping limit, or one too high to matter."""
    if not s.clip_norm:
        return "the job reports no clipping limit"
    if s.clip_norm >= LOOSE_FACTOR * healthy_norm(s):
        return f"the clipping limit {s.clip_norm:.3g} is at least {LOOSE_FACTOR} times too high"
    return None


def _spike_passed(s: Situation) -> str | None:
    """A spike of ten times the usual norm was not clipped, and nothing lasting is wrong."""
    if growth_before(s):
        return None
    told = _ineffective(s)
    if told is not None:
        return told
    limit = _no_limit(s) if s.at_least("gradient-spike", Severity.ERROR) else None
    return f"a spike of ten times the usual norm and more passed: {limit}" if limit else None


def _broke(s: Situation) -> str | None:
    """A spike that no limit held was followed by numbers that are not finite."""
    limit = _no_limit(s) if spike_broke(s) else None
    return f"a spike passed and the numbers after it were not finite: {limit}" if limit else None


def _growth_passes(s: Situation) -> str | None:
    """The norm grows, and no limit holds it."""
    limit = _no_limit(s) if s.sees("gradient-growth") else None
    return f"the gradient norm grows freely: {limit}" if limit else None


def _lifted(s: Situation) -> str | None:
    """The job reported a limit, report after report, until shortly before the trouble began."""
    since = s.unclipped_since
    if since is None or not any(0 <= x.opened_ordinal - since <= RECENTLY for x in s.active):
        return None
    return "the job clipped until shortly before, and does not any more"


def _explain(s: Situation) -> str:
    what = f"has jumped, {s.spikes} times in 1,024 reports and last at step {s.onset_step}"
    if s.sees("gradient-growth"):
        what = f"has been growing since step {s.onset_step}"
    elif _lifted(s):
        what = f"was held by a limit until shortly before step {s.onset_step}"
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
    explains=EXPLOSION,
    signs=(
        Sign("limit-lifted", 6, _lifted),
        Sign("spike-not-clipped", 3, _spike_passed),
        Sign("spike-broke", 3, _broke),
        Sign("spikes-recur", 2, spikes_recur),
        Sign("growth-not-clipped", 1, _growth_passes),
    ),
    explain=_explain,
    advise=_advise,
)
