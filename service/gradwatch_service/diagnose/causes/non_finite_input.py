"""non-finite-input: healthy until one batch or one operation gave a NaN or an infinity."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import skip_step
from gradwatch_service.diagnose.actions.rewind import check_input, skip_batches
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import growth_before
from gradwatch_service.diagnose.situation import Situation


def _healthy(s: Situation) -> bool:
    return growth_before(s) is None and not s.sees("gradient-spike")


def _forward_from_health(s: Situation) -> str | None:
    if s.fact("non-finite", "non-finite-forward") is None or not _healthy(s):
        return None
    return "the loss itself became non-finite, with healthy norms until then"


def _backward_from_health(s: Situation) -> str | None:
    """Weaker than the forward pass: an overflow that nothing announced looks the same."""
    forward = s.fact("non-finite", "non-finite-forward")
    if s.fact("non-finite", "non-finite-backward") is None or forward or not _healthy(s):
        return None
    return "the gradient became non-finite under a finite loss, with healthy norms until then"


def _first_layer_first(s: Situation) -> str | None:
    held = s.held.get("non-finite")
    if held is None or not held.layers or held.fact("non-finite-forward") is None:
        return None
    depths = s.layers.depth
    first = s.layers.column.get(held.layers[0])
    if first is None or depths[first] > depths.min():
        return None
    return f"{held.layers[0]}, the layer nearest the input, is affected"


def _explain(s: Situation) -> str:
    return (
        f"At step {s.onset_step} a NaN or an infinity appeared{s.place} although the gradients had "
        "been healthy. It came from outside or from one operation: a NaN in the batch, a division "
        "by zero, the logarithm of zero, the derivative of a root at zero. Once such a number is "
        "applied as an update every weight it touches is lost, so the step has to be skipped and "
        "its source found."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (skip_step(s), skip_batches(s), check_input(s))


CAUSE = Cause(
    id="non-finite-input",
    title="A NaN from the data or from one operation",
    headline="A non-finite number appeared",
    order=3,
    explains=frozenset({"non-finite"}),
    signs=(
        Sign("forward-from-health", 4, _forward_from_health),
        Sign("backward-from-health", 2, _backward_from_health),
        Sign("first-layer-first", 1, _first_layer_first),
        Sign("not-healthy-before", -3, growth_before),
    ),
    explain=_explain,
    advise=_advise,
)
