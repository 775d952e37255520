"""Actions on the number format: the loss scale, bfloat16, float32 where half precision ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradwatch_service.diagnose.proposal import Proposal, absent, check, code_for
from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import JsonValue

_STEP = 16.0  # what the scale changes by where the largest gradient is not known
_USUAL_SCALE = 2.0**16


def lower_loss_scale(s: Situation) -> Proposal:
    """Set the loss scale to 2^⌊15 - log2 gmax⌋, gmax the largest gradient; unknown: a sixteenth."""
    return _set_loss_scale(
        s,
        fitting_scale(s.largest) or (s.loss_scale or _USUAL_SCALE) / _STEP,
        undo="Let the dynamic scaler grow the scale again.",
        verify=check("found_inf", "==", 0.0),
    )


def raise_loss_scale(s: Situation) -> Proposal:
    """Set the loss scale to 2^⌊15 - log2 gmax⌋, gmax the largest gradient; unknown: 16 times."""
    return _set_loss_scale(
        s,
        fitting_scale(s.largest) or (s.loss_scale or _USUAL_SCALE) * _STEP,
        undo="Set the old scale again; the scaler lowers it by itself when it overflows.",
        verify=absent("underflow-risk"),
    )


def fitting_scale(largest: float | None) -> float | None:
    """The largest power of two that leaves a factor of two below the largest fp16 number."""
    return 2.0 ** math.floor(15 - math.log2(largest)) if largest else None


def _set_loss_scale(
    s: Situation, scale: float, *, undo: str, verify: Mapping[str, JsonValue]
) -> Proposal:
    torch = f"scaler.update(new_scale={scale:g})   # torch.amp.GradScaler"
    return Proposal(
        action="set_loss_scale",
        klass=1,
        title=f"Set the loss scale to {scale:g}",
        text=(
            f"Set the loss scale to {scale:g}: the largest gradient then stays a factor of two "
            "below the largest half-precision number, and small ones are kept as far as possible."
        ),
        code=code_for(s, torch=torch, plain=f"loss_scale = {scale:g}"),
        params={"loss_scale": scale},
        undo=undo,
        verify=verify,
    )


def use_bfloat16(s: Situation) -> Proposal:
    """Train in bfloat16, which has the range of float32."""
    torch = 'with torch.autocast("cuda", dtype=torch.bfloat16):   # no GradScaler needed\n    ...'
    return Proposal(
        action="switch_precision",
        klass=4,
        title="Train in bfloat16",
        text=(
            "bfloat16 has the range of float32, so gradients do not overflow and no loss scale is "
            "needed. It needs hardware that supports it."
        ),
        code=code_for(s, torch=torch, plain='compute_dtype = "bfloat16"'),
        params={"dtype": "bfloat16"},
        undo="Go back to float16 with a loss scaler.",
        verify=check("found_inf", "==", 0.0),
        preconditions=("the hardware supports bfloat16",),
    )


def keep_float32(s: Situation) -> Proposal:
    """Keep the weights that are updated in float32; half precision only inside the model."""
    torch = (
        "model.float()                       # float32 weights for the optimizer\n"
        'with torch.autocast("cuda", dtype=torch.float16):\n'
        "    loss = compute_loss(model(inputs), targets)"
    )
    plain = "master = weights.astype(np.float32)   # update these, copy to half precision"
    return Proposal(
        action="switch_precision",
        klass=4,
        title="Keep float32 master weights",
        text=(
            "Update weights held in float32 and compute in half precision only inside the model. "
            "Updates below 2^-11 of a weight are lost in half precision however large the loss "
            "scale is; bfloat16 with float32 weights needs no scale at all."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"dtype": "float32"},
        undo="Convert the weights back.",
        verify=absent("underflow-risk"),
        preconditions=("memory for a second copy of the weights",),
    )
