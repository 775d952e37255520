"""fp16-overflow: scaled gradients pass the largest half-precision number."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.precision import lower_loss_scale, use_bfloat16
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import BRAIN, HALF, growth_before, half_precision, told_by
from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import Severity


def _scaler_skips(s: Situation) -> bool:
    """The rule non-finite is mere information where the loss scaler skipped the step."""
    return s.sees("non-finite") and not s.at_least("non-finite", Severity.ERROR)


def _no_headroom(s: Situation) -> str | None:
    """The loss scaler found infinities while the headroom was below 1 bit."""
    if not _scaler_skips(s) or not s.at_least("overflow-headroom", Severity.ERROR):
        return None
    return "the loss scaler found infinities while less than 1 bit of headroom was left"


def _scaler_alone(s: Situation) -> str | None:
    """Without ``grad_max`` the headroom is not known; the scaler's word has to do."""
    if not _scaler_skips(s) or s.sees("overflow-headroom"):
        return None
    return "the loss scaler found infinities and skipped the step"


def _gradient_alone(s: Situation) -> str | None:
    """In half precision the gradient is not finite under a finite loss."""
    if s.broken is None or s.broken.loss or not s.broken.gradient:
        return None
    if half_precision(s) is None or _scaler_skips(s):
        return None
    return "the gradient became infinite under a finite loss, and nothing skipped the step"


def _bfloat16(s: Situation) -> str | None:
    """Layers are held in bfloat16, none in half precision."""
    kinds = {layer.dtype for layer in s.layers.layers}
    if kinds & BRAIN and not kinds & HALF:
        return "bfloat16 has the range of float32"
    return None


def _explain(s: Situation) -> str:
    scale = "" if s.loss_scale is None else f" (now {s.loss_scale:g})"
    return (
        f"Half precision ends at 65,504. Gradients multiplied by the loss scale{scale} passed that "
        f"limit{s.place}, first at step {s.onset_step}, and became infinite. A loss scaler skips "
        "such steps; where it does not, or where it happens all the time, the weights become NaN "
        "or training stands still. The gradients themselves may be healthy: a smaller scale is "
        "enough."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (lower_loss_scale(s), use_bfloat16(s))


CAUSE = Cause(
    id="fp16-overflow",
    title="Half-precision overflow",
    headline="Gradients overflow half precision",
    order=35,
    explains=frozenset({"loss-scale-collapse", "non-finite", "overflow-headroom"}),
    signs=(
        Sign("scale-collapses", 3, told_by("loss-scale-collapse")),
        Sign("infinities-without-headroom", 4, _no_headroom),
        Sign("scaler-skips", 2, _scaler_alone),
        Sign("gradient-alone", 4, _gradient_alone),
        Sign("half-precision", 1, half_precision),
        Sign("bfloat16", -5, _bfloat16),
        Sign("real-growth", -2, growth_before),
    ),
    explain=_explain,
    advise=_advise,
)
