"""plateau: the loss has stopped falling, and nothing else is out of order."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import scale_lr
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by
from gradwatch_service.diagnose.situation import Situation

_PLATEAU_FACTOR = 0.3


def _explain(s: Situation) -> str:
    rate = "" if s.lr is None else f" of {s.lr:.3g}"
    return (
        f"For the 512 reports up to step {s.onset_step} the loss has not fallen by half a percent. "
        "Either the net has learnt what it can from this data, or the noise of steps at the "
        f"learning rate{rate} keeps it from going deeper. In the second case a lower rate makes "
        "the loss fall at once. Gradients and updates are as they should be."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (scale_lr(s, _PLATEAU_FACTOR),)


CAUSE = Cause(
    id="plateau",
    title="A plateau",
    headline="The loss stands still",
    order=90,
    explains=frozenset({"loss-plateau"}),
    signs=(Sign("loss-stands-still", 2, told_by("loss-plateau")),),
    explain=_explain,
    advise=_advise,
    names_layer=False,
    calls=False,
)
