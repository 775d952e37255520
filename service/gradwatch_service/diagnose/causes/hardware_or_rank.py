"""hardware-or-rank: one replica computes, or holds, something else than the others."""

from __future__ import annotations

from gradwatch_service.detect.fixedpoint import power
from gradwatch_service.diagnose.actions.job import quarantine_rank
from gradwatch_service.diagnose.actions.rewind import rollback
from gradwatch_service.diagnose.cause import EXPLOSION, Cause, Sign
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.signs import told_by
from gradwatch_service.diagnose.situation import Situation

_RULES = ("replica-divergence", "rank-outlier")
_OVER_BITS, _RISE_BITS = 0.5, 1.3


def _rank(s: Situation) -> str | None:
    """The writer that the rules name first; in their stream the columns are the ranks."""
    named = [x.layers[0] for rule in _RULES if (x := s.held.get(rule)) is not None and x.layers]
    return next(iter(named), None)


def _outweighed(s: Situation) -> str | None:
    """The reduced gradient is over this rank's own by .5 bit, and by 1.3 bits more than usual."""
    now = s.standing.now
    if now is None or now < _OVER_BITS or s.standing.rise < _RISE_BITS:
        return None
    return (
        f"the reduced gradient is {power(now):.2g} times this rank's own, which a mean of ranks "
        "that are alike cannot be: another rank outweighs it"
    )


def _weights_alone(s: Situation) -> str | None:
    """Weights are not finite in a report whose loss and gradient are, so no update made them so."""
    lost = s.fact("non-finite", "non-finite-weights") is not None
    if not lost or s.broken is None or s.broken.loss or s.broken.gradient:
        return None
    return "weights became non-finite by themselves: loss and gradient of that step were finite"


def _explain(s: Situation) -> str:
    if _weights_alone(s):
        return (
            f"At step {s.onset_step} weights{s.place} turned into what no update can have "
            "made of them: the loss and the gradient were finite. A defective accelerator or "
            "memory does that, or code that writes into the parameters. Everything computed with "
            "these weights is lost."
        )
    who = _rank(s) or "one rank"
    parted = (
        "The replicas are no longer equal after the gradients were reduced, which they must be to "
        "the last bit; each step takes them further apart."
        if s.sees("replica-divergence")
        else "Before the reduction its gradients are far from those of the others, step after step."
    )
    return (
        f"Since step {s.onset_step} the numbers of {who} differ from those of the other ranks. "
        f"{parted} A defective accelerator, memory or link does that, a broken shard of the data, "
        "or code that runs differently on one rank. The other ranks train on its errors as well."
    )


def _advise(s: Situation) -> tuple[Proposal, ...]:
    return (quarantine_rank(s, _rank(s)), rollback(s))


CAUSE = Cause(
    id="hardware-or-rank",
    title="One rank differs",
    headline="One rank differs from the others",
    order=82,
    explains=EXPLOSION | set(_RULES),
    signs=(
        Sign("replicas-differ", 5, told_by("replica-divergence")),
        Sign("rank-out-of-range", 3, told_by("rank-outlier")),
        Sign("outweighed", 6, _outweighed),
        Sign("weights-alone", 5, _weights_alone),
    ),
    explain=_explain,
    advise=_advise,
    names_layer=False,
)
