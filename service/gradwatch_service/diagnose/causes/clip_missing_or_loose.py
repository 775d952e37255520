"""clip-missing-or-loose: spikes recur and nothing holds them back."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm, healthy_norm, skip_step
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import spike_error, spikes_recur
from gradwatch_service.diagnose.situation import Situation

LOOSE_FACTOR = 8


def _unclipped_spike(s: Situation) -> str | None:
    if not spike_error(s):
        return None
    if not s.clip_norm:
        return "a spike ten times over the usual norm passed, and the job reports no clipping limit"
    if s.clip_norm >= LOOSE_FACTOR * healthy_norm(s):
        return (
            f"the clipping limit {s.clip_norm:.3g} is {LOOSE_FACTOR} times too high to hold spikes"
        )
    return None


def _explain(s: Situation) -> str:
    return (
        f"The gradient norm has jumped {s.spikes} times of late, last at step {s.step}{s.place}, "
        "and no clipping limit held it. Each such step moves the weights about as many times too "
        "far as the norm is too large, and the run may not find back. A limit at the top of the "
        "healthy range leaves normal steps as they are and takes the force out of these."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (clip_grad_norm(s), skip_step(s))


CAUSE = Cause(
    id="clip-missing-or-loose",
    title="Missing or loose clipping",
    headline="Gradient spikes are not clipped",
    order=35,
    explains=frozenset({"gradient-spike", "loss-spike"}),
    signs=(
        Sign("spike-not-clipped", 3, _unclipped_spike),
        Sign("spikes-recur", 2, spikes_recur),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
