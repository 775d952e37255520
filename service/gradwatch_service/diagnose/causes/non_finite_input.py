"""non-finite-input: healthy until one batch or one operation gave a NaN or an infinity."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.guard import skip_step
from gradwatch_service.diagnose.actions.job import check_input
from gradwatch_service.diagnose.actions.rewind import skip_batches
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.situation import LASTING, SPIKES, Situation
from gradwatch_service.domain import Severity

_BUILD_UP, _JUST_BEFORE = 128, 16


def _build_up(s: Situation) -> str | None:
    """Something began within 128 reports before as a warning at least, or a spike within 16."""
    held = s.held.get("non-finite")
    since = s.ordinal if held is None else held.opened_ordinal
    begun = sorted(
        rule
        for rule in (*LASTING, *SPIKES)
        if rule in s.held
        and 0 < since - s.held[rule].opened_ordinal <= _reach(rule, s.held[rule].severity)
    )
    return f"something was building up before: {', '.join(begun)}" if begun else None


def _reach(rule: str, severity: Severity) -> int:
    """How many reports before a finding of this rule counts."""
    if severity >= Severity.WARNING:
        return _BUILD_UP
    return _JUST_BEFORE if rule in SPIKES else 0


def _forward_from_health(s: Situation) -> str | None:
    """The loss itself is not finite, and nothing was building up."""
    if s.broken is None or not s.broken.loss or _build_up(s):
        return None
    return "the loss itself became non-finite, with healthy norms until then"


def _backward_from_health(s: Situation) -> str | None:
    """The gradient is not finite under a finite loss; an overflow looks the same."""
    if s.broken is None or s.broken.loss or not s.broken.gradient or _build_up(s):
        return None
    return "the gradient became non-finite under a finite loss, with healthy norms until then"


def _first_layer_first(s: Situation) -> str | None:
    """The forward pass broke in the layer nearest the input."""
    held = s.held.get("non-finite")
    if held is None or not held.layers or s.broken is None or not s.broken.loss:
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
        Sign("build-up", -3, _build_up),
    ),
    explain=_explain,
    advise=_advise,
)
