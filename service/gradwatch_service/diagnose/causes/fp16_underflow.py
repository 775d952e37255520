"""fp16-underflow: gradients are so small that half precision rounds them to zero."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.precision import keep_float32, raise_loss_scale
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import half_precision, told_by
from gradwatch_service.diagnose.situation import Situation

_MORE_ZEROS = 0.1
SMALLEST, _FEW = 2.0**-24, 64


def _zeros_rise(s: Situation) -> str | None:
    """In half precision, and the share of zeros in the gradients has risen by a tenth."""
    if s.zeros < _MORE_ZEROS or half_precision(s) is None:
        return None
    return f"{s.zeros:.0%} more of the gradients are exactly zero than at the start"


def _on_the_grid(s: Situation) -> str | None:
    """The largest gradient is a small whole multiple of the smallest half-precision number."""
    if s.loss_scale is None or not s.largest:
        return None
    steps = s.largest * s.loss_scale / SMALLEST
    if steps > _FEW or steps != round(steps):
        return None
    return f"the largest gradient is {steps:.0f} times 2^-24, to the last bit"


def _explain(s: Situation) -> str:
    scale = "" if s.loss_scale is None else f" at the loss scale {s.loss_scale:g}"
    return (
        f"Since step {s.onset_step} gradients{s.place} come near the smallest half-precision "
        f"number, 2^-24{scale}, and what is below it becomes zero. Small gradients are lost first; "
        "the layers that have only small ones stop learning although nothing is wrong with them. "
        "A larger loss scale lifts all gradients back into range."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (raise_loss_scale(s), keep_float32(s))


CAUSE = Cause(
    id="fp16-underflow",
    title="Half-precision underflow",
    headline="Gradients underflow half precision",
    order=74,
    explains=frozenset(
        {
            "dead-layer",
            "depth-vanishing",
            "gradient-spike",
            "underflow-risk",
            "update-ratio-low",
            "vanishing-absolute",
        }
    ),
    signs=(
        Sign("underflow", 3, told_by("underflow-risk")),
        Sign("on-the-grid", 6, _on_the_grid),
        Sign("zeros-rise", 2, _zeros_rise),
    ),
    explain=_explain,
    advise=_advise,
)
