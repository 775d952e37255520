"""weights-growing: the weights grow without end, and outputs and gradients with them."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.model import bound_weights
from gradwatch_service.diagnose.actions.optimizer import set_weight_decay
from gradwatch_service.diagnose.actions.rate import cap_lr
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by
from gradwatch_service.diagnose.situation import Situation

_QUARTER = 0.25
_TWO_BLOCKS = 32


def _no_decay(s: Situation) -> str | None:
    """The weights grow, and the job's config says that there is no weight decay."""
    if s.facts.number("weight_decay") != 0 or not s.sees("weight-growth"):
        return None
    return "the job uses no weight decay"


def _jumped(s: Situation) -> str | None:
    """Within two blocks weights grew by a quarter, and by twice what the updates allow for."""
    if s.grown is None or s.grown.value is None or s.uw is None:
        return None
    by_updates = 2 * s.uw * _TWO_BLOCKS
    return s.grown.text if s.grown.value - 1 >= max(_QUARTER, by_updates) else None


def _explain(s: Situation) -> str:
    return (
        f"Since step {s.onset_step} the weights{s.place} keep growing, and nothing pulls them "
        "back. Larger weights make larger outputs, attention logits and gradients; softmax and "
        "other activations saturate, half precision overflows, and in the end single steps blow "
        "up. Weight decay holds the norm where it adds as much as it takes away."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (
        set_weight_decay(s),
        bound_weights(s),
        *((cap_lr(s, s.lr),) if s.lr else ()),
    )


CAUSE = Cause(
    id="weights-growing",
    title="Growing weights",
    headline="The weights keep growing",
    order=56,
    explains=EXPLOSION | {"attention-logit", "weight-growth"},
    signs=(
        Sign("weights-grow", 3, told_by("weight-growth")),
        Sign("more-than-updates", 4, _jumped),
        Sign("logits-large", 3, told_by("attention-logit")),
        Sign("scale-collapses", 1, told_by("loss-scale-collapse")),
        Sign("no-weight-decay", 1, _no_decay),
    ),
    explain=_explain,
    advise=_advise,
)
