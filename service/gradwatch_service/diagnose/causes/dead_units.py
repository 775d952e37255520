"""dead-units: units of a layer give zero for every input, so that no gradient reaches them."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.model import revive
from gradwatch_service.diagnose.actions.rate import scale_lr
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by, updates_large
from gradwatch_service.diagnose.situation import Situation

_HALF_RATE = 0.5


def _relu(s: Situation) -> str | None:
    """A layer that the rule names, or any layer of the run, uses ReLU."""
    held = s.held.get("dead-layer")
    if held is None:
        return None
    using = {x.name for x in s.layers.layers if x.activation.lower() in {"relu", "relu6"}}
    named = [name for name in held.layers if name in using]
    if not using:
        return None
    return f"{(named or sorted(using))[0]} uses ReLU, which gives no gradient below zero"


def _explain(s: Situation) -> str:
    return (
        f"At the latest since step {s.onset_step} no gradient reaches most units{s.place}. With a "
        "ReLU that is what a large step leaves behind: biases or weights so far negative that the "
        "unit gives zero for every input, and then nothing can bring it back. The layers after it "
        "train on what is left. A leaky activation, a lower learning rate or fresh weights with "
        "zero biases keep units alive."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (revive(s), scale_lr(s, _HALF_RATE))


CAUSE = Cause(
    id="dead-units",
    title="Dead units",
    headline="Units are dead",
    order=68,
    explains=frozenset(
        {
            "dead-layer",
            "depth-vanishing",
            "loss-divergence",
            "loss-plateau",
            "loss-spike",
            "vanishing-absolute",
        }
    ),
    signs=(
        Sign("no-gradient", 3, told_by("dead-layer")),
        Sign("relu", 1, _relu),
        Sign("updates-large", 1, updates_large),
    ),
    explain=_explain,
    advise=_advise,
)
