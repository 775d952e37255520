"""clip-too-tight: nearly every step is clipped, so the limit sets the pace and not the gradient."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import clip_grad_norm
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import growth_before, told_by
from gradwatch_service.diagnose.situation import Situation


def _stands_still(s: Situation) -> str | None:
    """Most steps are clipped, and the loss does not move."""
    if not (s.sees("clip-saturation") and s.sees("loss-plateau")):
        return None
    return "the loss does not move while most steps are clipped"


def _explain(s: Situation) -> str:
    limit = "" if s.clip_norm is None else f" of {s.clip_norm:.3g}"
    usual = "" if s.normal is None else f", while the usual gradient norm is {s.normal:.3g}"
    return (
        f"Since step {s.onset_step} at the latest the clipping limit{limit} cuts most steps down"
        f"{usual}. Every step then has the same length whatever the gradient says; with plain SGD "
        "that is a smaller learning rate, and with all optimizers it weighs noisy batches like "
        "clear ones. A limit at the top of the healthy range clips only what is out of the "
        "ordinary."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (clip_grad_norm(s),)


CAUSE = Cause(
    id="clip-too-tight",
    title="Clipping too tight",
    headline="The clipping limit is too low",
    order=76,
    explains=frozenset({"clip-saturation", "loss-plateau", "update-ratio-low"}),
    signs=(
        Sign("most-steps-clipped", 4, told_by("clip-saturation")),
        Sign("loss-stands-still", 2, _stands_still),
        Sign("not-healthy-before", -2, growth_before),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
