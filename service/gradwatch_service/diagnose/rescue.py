"""What any alert advises besides its cause's own remedies: keep, go back to, or give up a state."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.job import checkpoint_now, stop
from gradwatch_service.diagnose.actions.rewind import return_point, rollback
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import Severity

JUST_BEGUN = 16


def rescue(s: Situation) -> tuple[Proposal, ...]:
    """Go back where the run is spoilt; stop where it is lost; save what may be needed soon."""
    lost = s.fact("non-finite", "non-finite-weights") is not None
    stays = s.at_least("non-finite", Severity.CRITICAL)
    if lost or stays or s.sees("loss-divergence", "loss-above-initial"):
        if return_point(s) is not None:
            return (rollback(s),)
        return (stop(s),) if lost else ()
    return (checkpoint_now(s),) if _warns_just_now(s) else ()


def _warns_just_now(s: Situation) -> bool:
    """A warning, and nothing worse, has just begun."""
    severity = max((held.severity for held in s.held.values()), default=Severity.INFO)
    return severity == Severity.WARNING and s.ordinal - s.onset_ordinal <= JUST_BEGUN
