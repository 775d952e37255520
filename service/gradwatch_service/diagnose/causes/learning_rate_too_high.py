"""learning-rate-too-high: every update overshoots, so that the loss and the gradients grow."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.rate import cap_lr, reducing_factor, scale_lr
from gradwatch_service.diagnose.actions.rewind import BEFORE_ONSET, rollback
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import (
    BEGINNING,
    loss_diverges,
    net_dies,
    one_layer_only,
    rate_jumped,
    rate_record,
    struck,
    sudden,
    told_by,
    units_die,
    updates_large,
    updates_usual,
)
from gradwatch_service.diagnose.situation import Situation

USUAL_ADAM = 0.01


def _unusual(s: Situation) -> str | None:
    """An optimizer of the Adam family, and a rate over .01."""
    if not s.facts.adaptive or s.lr is None or s.lr <= USUAL_ADAM:
        return None
    return f"{s.facts.optimizer} at {s.lr:.3g}: rates from 1e-4 to 3e-3 are usual"


def _usual_at_first(s: Situation) -> str | None:
    """Trouble within 32 reports, with an optimizer of the Adam family at a rate that is usual."""
    if s.onset_ordinal > BEGINNING or not s.facts.adaptive or s.lr is None or s.lr > USUAL_ADAM:
        return None
    return f"{s.facts.optimizer} mostly copes with {s.lr:.3g} once it knows its gradients"


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
    explains=EXPLOSION | {"dead-layer", "loss-plateau"},
    signs=(
        Sign("updates-large", 3, updates_large),
        Sign("updates-huge", 2, told_by("update-step-huge")),
        Sign("explodes-early", 3, told_by("early-explosion")),
        Sign("net-dies", 4, net_dies),
        Sign("units-die", 4, units_die),
        Sign("rate-record", 3, rate_record),
        Sign("rate-unusual", 1, _unusual),
        Sign("rate-usual", -2, _usual_at_first),
        Sign("noise-grows", 2, told_by("instability-onset")),
        Sign("loss-oscillates", 2, told_by("loss-oscillation")),
        Sign("loss-diverges", 2, loss_diverges),
        Sign("updates-usual", -2, updates_usual),
        Sign("one-layer-only", -2, one_layer_only),
        Sign("rate-jumped", -4, rate_jumped),
        Sign("out-of-the-blue", -4, struck),
        Sign("sudden", -2, sudden),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
