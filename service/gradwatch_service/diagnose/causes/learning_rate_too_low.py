"""learning-rate-too-low: the updates are far too small for anything to be learnt."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import raising_factor, scale_lr
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import rate_near_zero, told_by
from gradwatch_service.diagnose.situation import Situation


def _stands_still(s: Situation) -> str | None:
    """Updates are tiny, and the loss does not move."""
    if not (s.sees("update-ratio-low") and s.sees("loss-plateau")):
        return None
    return "the loss does not move, with updates this small"


def _explain(s: Situation) -> str:
    rate = "" if s.lr is None else f" of {s.lr:.3g}"
    size = "" if s.uw is None else f" One update changes a typical layer by {s.uw:.1g} of its size."
    return (
        f"At the learning rate{rate} the weights practically stand still, at the latest since step "
        f"{s.onset_step}.{size} About a thousandth per step is usual; at this pace the run needs "
        "many times the steps it has. The gradients themselves are there, only the steps are too "
        "short."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (scale_lr(s, raising_factor(s.uw)),)


CAUSE = Cause(
    id="learning-rate-too-low",
    title="Learning rate too low",
    headline="The learning rate is too low",
    order=72,
    explains=frozenset({"loss-plateau", "update-ratio-low"}),
    signs=(
        Sign("updates-tiny", 4, told_by("update-ratio-low")),
        Sign("loss-stands-still", 1, _stands_still),
        Sign("rate-near-zero", -3, rate_near_zero),
        Sign("gradients-vanish", -3, told_by("depth-vanishing", "vanishing-absolute")),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
