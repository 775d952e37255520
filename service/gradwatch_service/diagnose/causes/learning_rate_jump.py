"""learning-rate-jump: the schedule (or a resume) raised the learning rate at one blow."""

from __future__ import annotations

from gradwatch_service.detect.fixedpoint import power
from gradwatch_service.diagnose.actions.rate import (
    cap_lr,
    reducing_factor,
    scale_lr,
    warmup_lr,
    warmup_steps,
)
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.causes.learning_rate_too_high import CAUSE as TOO_HIGH
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.rates import JUMP_FACTOR
from gradwatch_service.diagnose.signs import RELATIVE_BITS, rate_jumped
from gradwatch_service.diagnose.situation import Situation, worst
from gradwatch_service.domain import Severity


def _updates_rose(s: Situation) -> str | None:
    """The update ratio is ≥ 2 bits over its slow level, and the learning rate jumped."""
    if s.uw_rise < RELATIVE_BITS or rate_jumped(s) is None:
        return None
    return f"updates are {power(s.uw_rise):.3g} times what they were before"


def _trouble_before(s: Situation) -> str | None:
    """Before the learning rate jumped something was as bad as what came after it."""
    jump = s.rates.jump
    if jump is None:
        return None
    before = [held for held in s.active if held.opened_ordinal < jump.ordinal]
    after = [held.severity for held in s.active if held.opened_ordinal >= jump.ordinal]
    if not before or worst(tuple(before)).severity < max(after, default=Severity.INFO):
        return None
    return f"the trouble began at step {s.onset_step}, before the jump at step {jump.step}"


def _explain(s: Situation) -> str:
    jump = s.rates.jump
    change = "" if jump is None else f" from {jump.old:.3g} to {jump.new:.3g} at step {jump.step}"
    return (
        f"The learning rate rose at one blow{change}, and the trouble began at step "
        f"{s.onset_step}. The network had settled in a valley that the old rate could follow; with "
        "the new one every update overshoots its walls. The gradients grow with each overshoot, "
        "until the loss diverges."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    jump = s.rates.jump
    if jump is None:
        return (scale_lr(s, reducing_factor(s.uw)),)
    cap = JUMP_FACTOR * jump.old
    return (cap_lr(s, cap), warmup_lr(s, warmup_steps(s), cap, "once it is capped"))


CAUSE = Cause(
    id="learning-rate-jump",
    title="Jump of the learning rate",
    headline="The learning rate jumped",
    order=20,
    explains=TOO_HIGH.explains,
    signs=(
        Sign("rate-jumped", 4, rate_jumped),
        Sign("updates-rose", 2, _updates_rose),
        Sign("trouble-before-the-jump", -4, _trouble_before),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
