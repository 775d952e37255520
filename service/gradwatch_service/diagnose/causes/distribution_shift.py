"""distribution-shift: the data changed, so loss and gradients stand at a new, steady level."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import warmup_lr, warmup_steps
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import phase_announced, rate_jumped
from gradwatch_service.diagnose.situation import SPIKES, Situation

_LEAST, _MOST = 500, 2000


def _new_level(s: Situation) -> str | None:
    """Norm and loss rest at a higher level than long ago; the learning rate has not risen."""
    steady = not s.sees("gradient-growth", "explosion-through-time")
    if not (s.shifted and steady and s.sees(*SPIKES)):
        return None
    if rate_jumped(s) or s.rates.rising:
        return None
    return "loss and gradient norm moved to a new level together, with the learning rate unchanged"


def _explain(s: Situation) -> str:
    return (
        f"From step {s.onset_step} on the loss and the gradients stand at a higher level, and the "
        "learning rate has not changed: the data has. To the network this is partly a new task, "
        "for which its weights and the optimizer's estimates are not prepared; at full learning "
        "rate the large gradients may throw away what it has learnt. A second warm-up makes the "
        "passage smooth."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    start = f"from step {s.step} on"
    return (warmup_lr(s, warmup_steps(s, _LEAST, _MOST), s.lr, start),)


CAUSE = Cause(
    id="distribution-shift",
    title="The data changed",
    headline="Loss and gradients moved to a new level",
    order=25,
    explains=EXPLOSION - {"early-explosion", "non-finite", "update-step-huge"},
    signs=(
        Sign("new-level", 3, _new_level),
        Sign("phase-announced", 3, phase_announced),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
    calls=False,
)
