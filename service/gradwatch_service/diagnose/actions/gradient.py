"""Actions on the gradient of a step: clip it, damp a layer, truncate it in time."""

from __future__ import annotations

import math

from gradwatch_service.diagnose.proposal import Proposal, absent, check, code_for
from gradwatch_service.diagnose.situation import Mover, Situation

DEFAULT_NORM = 1.0
TIME_BITS = 6.0
SHRINK_FACTOR, LEAST_SHRINK, SHRINK_STEPS = 0.1, 1e-3, 500


def healthy_norm(s: Situation) -> float:
    """The guard's limit; before there is one the usual norm, or 1."""
    return s.guard.max_norm or s.normal or DEFAULT_NORM


def clip_grad_norm(s: Situation) -> Proposal:
    """Clip the global norm at clip(P97.5 of the last 512 accepted norms, .5 mean, 10 mean)."""
    limit = healthy_norm(s)
    healthy = "the top of the healthy range of this run"
    origin = healthy if s.guard.max_norm else "a usual value until this run has a history"
    torch = (
        "loss.backward()\n"
        f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={limit:.4g})\n"
        "optimizer.step()"
    )
    plain = (
        "norm = np.sqrt(sum(float((g ** 2).sum()) for g in gradients))\n"
        f"gradients = [g * min(1.0, {limit:.4g} / (norm + 1e-12)) for g in gradients]"
    )
    return Proposal(
        action="clip_grad_norm",
        klass=1,
        title=f"Clip the gradient norm at {limit:.3g}",
        text=(
            f"Scale every gradient whose global norm is over {limit:.3g} down to that norm, "
            f"{origin}."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"max_norm": limit},
        undo="Remove the clipping call; the optimizer keeps no trace of it.",
        verify=check("grad_norm", "<=", limit),
        preconditions=("with a loss scaler, unscale the gradients first",),
    )


def shrink_layer_grad(s: Situation, mover: Mover) -> Proposal:
    """Multiply the gradient of one layer for 500 steps, then ramp back to 1 over 500.

    By the inverse of how many times its median it is, at least by .001 and at most by .1.
    """
    layer, steps = mover.name, SHRINK_STEPS
    alpha = float(f"{min(max(1 / mover.excess, LEAST_SHRINK), SHRINK_FACTOR):.2g}")
    torch = (
        "for name, parameter in model.named_parameters():\n"
        f'    if name == "{layer}" and parameter.grad is not None:\n'
        f"        parameter.grad.mul_({alpha:g})   # {steps} steps, then ramp to 1"
    )
    return Proposal(
        action="shrink_layer_grad",
        klass=2,
        title=f"Shrink the gradient of {layer} to {alpha:g}",
        text=(
            f"Multiply the gradient of {layer} by {alpha:g} for {steps} steps, then raise the "
            f"factor back to 1 over another {steps}. The other layers train on at full speed."
        ),
        code=code_for(s, torch=torch, plain=f'gradients["{layer}"] *= {alpha:g}'),
        params={"layer": layer, "alpha": alpha, "steps": steps, "ramp_steps": steps},
        undo="Remove the factor.",
        verify=check("grad_norm", "<=", healthy_norm(s)),
        preconditions=("apply before the gradient is clipped",),
    )


def truncation(beta: float | None) -> int | None:
    """⌊6 / β⌋ time steps, over which the gradient grows by at most 64; None if it does not grow."""
    return None if not beta or beta <= 0 else max(1, math.floor(TIME_BITS / beta))


def truncate_bptt(s: Situation, steps: int) -> Proposal:
    """Back-propagate through at most ``steps`` time steps."""
    torch = (
        f"for chunk in sequence.split({steps}, dim=time_dim):\n"
        "    hidden = hidden.detach()            # the gradient stops here\n"
        "    output, hidden = rnn(chunk, hidden)"
    )
    plain = f"for t in range(T - 1, max(T - 1 - {steps}, -1), -1):   # backward pass\n    ..."
    return Proposal(
        action="truncate_bptt",
        klass=2,
        title=f"Back-propagate through at most {steps} time steps",
        text=(
            f"Cut the backward pass after {steps} time steps, so that the gradient grows by at "
            "most 64 on its way back. Longer dependencies are not learnt while this is on."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"time_steps": steps},
        undo="Lengthen the cut again once the recurrent weights are tamed.",
        verify=absent("explosion-through-time"),
    )
