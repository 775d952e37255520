"""Actions on the gradient of a step: clip, skip, damp a layer, truncate in time, scale."""

from __future__ import annotations

import math

from gradwatch_service.diagnose.proposal import Proposal, check, code_for
from gradwatch_service.diagnose.situation import Situation

SKIP_CAP = 4
DEFAULT_NORM = 1.0
TIME_BITS = 6.0


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


def skip_step(s: Situation) -> Proposal:
    """Let the guard skip updates that are not finite or far above the usual norm."""
    limit = s.guard.skip_above
    far = "" if limit is None else f" or whose norm is over {limit:.3g}"
    test = "not np.isfinite(norm)" + ("" if limit is None else f" or norm > {limit:.4g}")
    torch = (
        "monitor = run.watch(model, optimizer)   # holds the guard\n"
        "loss.backward()\n"
        "if monitor.step(loss=loss):             # False: skip this update\n"
        "    optimizer.step()"
    )
    plain = (
        f"if {test}:\n    continue  # skip this update, at most {SKIP_CAP} times in a row\n"
        "weights -= learning_rate * gradient"
    )
    return Proposal(
        action="skip_step",
        klass=1,
        title="Skip the update of a bad step",
        text=(
            f"Do not apply updates that are not finite{far}, at most {SKIP_CAP} in a row. One lost "
            "step costs nothing; one bad update can ruin the run."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={
            "skip_above": limit,
            "skip_nonfinite": True,
            "max_consecutive_skips": SKIP_CAP,
        },
        undo="Disarm the guard; skipped steps leave no trace.",
        verify=check("grad_norm", "<=", limit or 10 * healthy_norm(s)),
    )


def shrink_layer_grad(s: Situation, layer: str, factor: float = 0.1, steps: int = 500) -> Proposal:
    """Multiply the gradient of one layer by ``factor`` for ``steps`` steps, then ramp back to 1."""
    torch = (
        "for name, parameter in model.named_parameters():\n"
        f'    if name == "{layer}" and parameter.grad is not None:\n'
        f"        parameter.grad.mul_({factor:g})   # {steps} steps, then ramp to 1"
    )
    return Proposal(
        action="shrink_layer_grad",
        klass=2,
        title=f"Shrink the gradient of {layer} to {factor:g}",
        text=(
            f"Multiply the gradient of {layer} by {factor:g} for {steps} steps, then raise the "
            f"factor back to 1 over another {steps}. The other layers train on at full speed."
        ),
        code=code_for(s, torch=torch, plain=f'gradients["{layer}"] *= {factor:g}'),
        params={"layer": layer, "factor": factor, "steps": steps},
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
        verify=check("explosion-through-time", "cleared", None),
    )


def set_loss_scale(s: Situation) -> Proposal:
    """Set the loss scale to 2^⌊15 - log2 gmax⌋, gmax the largest gradient; unknown: a sixteenth."""
    if s.largest is not None and s.largest > 0:
        scale = 2.0 ** math.floor(15 - math.log2(s.largest))
    else:
        scale = (s.loss_scale or 2.0**16) / 16
    torch = f"scaler.update(new_scale={scale:g})   # torch.amp.GradScaler"
    return Proposal(
        action="set_loss_scale",
        klass=1,
        title=f"Set the loss scale to {scale:g}",
        text=(
            f"Set the loss scale to {scale:g}: the largest gradient then stays a factor of two "
            "below the largest half-precision number."
        ),
        code=code_for(s, torch=torch, plain=f"loss_scale = {scale:g}"),
        params={"loss_scale": scale},
        undo="Let the dynamic scaler grow the scale again.",
        verify=check("found_inf", "==", 0.0),
    )
