"""Actions on the optimizer's own settings: second moment, forgotten moments, weight decay."""

from __future__ import annotations

from gradwatch_service.diagnose.proposal import Proposal, absent, code_for
from gradwatch_service.diagnose.situation import Situation

BETA2 = 0.95
EPSILON, LARGE_EPSILON = 1e-8, 1e-6
FIRST_DECAY, DECAY_FACTOR = 0.01, 3.0


def set_adam(s: Situation) -> Proposal:
    """Let the second moment follow the gradient in about 20 steps: β₂ = .95; a large ε to 1e-8."""
    eps = s.facts.number("eps")
    numbers = {"beta2": BETA2} | (
        {"eps": EPSILON} if eps is not None and eps > LARGE_EPSILON else {}
    )
    shown = ", ".join(f"{name} = {value:g}" for name, value in numbers.items())
    torch = "for group in optimizer.param_groups:\n" + "\n".join(
        [f'    group["betas"] = (group["betas"][0], {BETA2})']
        + ([f'    group["eps"] = {EPSILON:g}'] if "eps" in numbers else [])
    )
    return Proposal(
        action="set_adam",
        klass=2,
        title=f"Set {shown}",
        text=(
            f"Set {shown}. The optimizer's estimate of the gradient's size then follows a change "
            f"within {1 / (1 - BETA2):.0f} steps; with a longer memory it divides by what was long "
            "ago. Clipping the update to a root mean square of 1 does the same."
        ),
        code=code_for(s, torch=torch, plain="\n".join(f"{k} = {v:g}" for k, v in numbers.items())),
        params=dict(numbers),
        undo="Set the old values again.",
        verify=absent("adam-moment-lag"),
    )


def reset_moments(s: Situation) -> Proposal:
    """Forget the optimizer's moments, which one bad gradient may spoil for a thousand steps."""
    plain = "for name in first_moment:\n    first_moment[name][:] = second_moment[name][:] = 0.0"
    torch = (
        "for state in optimizer.state.values():\n"
        '    for name in ("exp_avg", "exp_avg_sq"):\n'
        "        if name in state:\n"
        "            state[name].zero_()\n"
        '    if "step" in state:\n'
        '        state["step"].zero_()   # the bias correction begins anew'
    )
    return Proposal(
        action="reset_moments",
        klass=3,
        title="Reset the optimizer's moments",
        text=(
            "Set both moments and the step count of the optimizer to zero. What it remembers of "
            "the gradients before no longer fits; it learns their size anew within a few steps."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={},
        undo="Load the optimizer's state from the checkpoint taken before.",
        verify=absent("adam-moment-lag"),
        preconditions=("save the present state first", "warm the learning rate up afterwards"),
    )


def set_weight_decay(s: Situation) -> Proposal:
    """Three times the weight decay, .01 where there is none."""
    now = s.facts.number("weight_decay") or 0.0
    decay = max(FIRST_DECAY, DECAY_FACTOR * now)
    torch = (
        "for group in optimizer.param_groups:\n"
        f'    group["weight_decay"] = {decay:g}   # decoupled: AdamW rather than Adam'
    )
    return Proposal(
        action="set_weight_decay",
        klass=4,
        title=f"Set the weight decay to {decay:g}",
        text=(
            f"Set the weight decay to {decay:g} (now {now:g}), so that the weights stop growing: "
            "they settle where the decay takes away as much as the updates add. Leave biases and "
            "normalisation layers out."
        ),
        code=code_for(s, torch=torch, plain=f"weights *= 1 - learning_rate * {decay:g}"),
        params={"weight_decay": decay},
        undo="Set the old value again.",
        verify=absent("weight-growth", within_steps=512),
    )
