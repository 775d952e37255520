"""learning-rate-too-high: every update overshoots, so that the loss and the gradients grow."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import cap_lr, reducing_factor, scale_lr
from gradwatch_service.diagnose.actions.rewind import BEFORE_ONSET, rollback
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import loss_diverges, one_layer_only, updates_large
from gradwatch_service.diagnose.situation import Situation


def _explain(s: Situation) -> str:
    rate = "" if s.lr is None else f" of {s.lr:.3g}"
    size = (
        ""
        if s.uw is None
        else f" One update changes a typical layer by {s.uw:.1%} of its size; about 0.1 % is usual."
    )
    if updates_large(s) is None:
        return (
            f"Since step {s.onset_step} the loss or the gradient has been rising, which most often "
            f"means that the learning rate{rate} is too high. An update that is too long jumps "
            "over the minimum and lands higher up, where the gradient is larger, so the next one "
            "is longer still. Report the norms of updates and weights of each layer to make sure."
        )
    return (
        f"Since step {s.onset_step} the updates are too large for the shape of the loss: with the "
        f"learning rate{rate} each step jumps over the minimum and lands higher up.{size} From "
        "there the gradient is larger still, so the next step is larger too, until the loss "
        "diverges. Clipping only hides this; the learning rate has to come down."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    before = s.rates.before
    cap = (cap_lr(s, before),) if s.rates.rising and before else ()
    back = (rollback(s),) if s.onset_ordinal > BEFORE_ONSET else ()
    return (scale_lr(s, reducing_factor(s.uw)), *cap, *back)


CAUSE = Cause(
    id="learning-rate-too-high",
    title="Learning rate too high",
    headline="The learning rate is too high",
    order=10,
    explains=frozenset(
        {
            "early-explosion",
            "gradient-growth",
            "gradient-spike",
            "loss-above-initial",
            "loss-divergence",
            "loss-spike",
            "non-finite",
            "overflow-headroom",
            "update-ratio-high",
            "update-step-huge",
        }
    ),
    signs=(
        Sign("updates-large", 3, updates_large),
        Sign("loss-diverges", 2, loss_diverges),
        Sign("one-layer-only", -2, one_layer_only),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
