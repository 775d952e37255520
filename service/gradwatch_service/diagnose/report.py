"""Writes what an alert says: title, explanation, evidence, layers and advice of a claim."""

from __future__ import annotations

from gradwatch_service.diagnose.fusion import Claim, worst
from gradwatch_service.domain import Advice, Evidence

MAX_LAYERS = 8


def title(claim: Claim, opened_step: int) -> str:
    """One line, such as "Gradients explode through time in W_hh (step 412)"."""
    cause = claim.verdict.cause
    place = claim.verdict.situation.place if cause.names_layer else ""
    return f"{cause.headline}{place} (step {opened_step})"


def explanation(claim: Claim) -> str:
    """The cause in plain words, and what else it might be."""
    text = claim.verdict.cause.explain(claim.verdict.situation)
    other = claim.runner_up
    if other is None:
        return text
    return f"{text} Second guess: {other.cause.title.lower()} (confidence {other.confidence:.0%})."


def evidence(claim: Claim) -> tuple[Evidence, ...]:
    """What the rules saw, the most severe finding first, then what speaks for and against."""
    lead = worst(claim.findings)
    others = [held for held in claim.findings if held is not lead]
    facts = [fact for held in (lead, *others) for fact in held.evidence]
    return (*facts, *claim.verdict.evidence)


def layers(claim: Claim) -> tuple[str, ...]:
    """The first mover, then the layers that move with it, then those the rules named; at most 8."""
    situation = claim.verdict.situation
    first = (situation.mover.name,) if situation.mover is not None else ()
    named = [name for held in claim.findings for name in held.layers]
    return tuple(dict.fromkeys((*first, *situation.hot_layers, *named)))[:MAX_LAYERS]


def advice(claim: Claim) -> tuple[Advice, ...]:
    """What to do, best first."""
    verdict = claim.verdict
    names = tuple(fact.name for fact in verdict.evidence if (fact.weight or 0) > 0)
    return tuple(
        proposal.advice(verdict.cause.id, verdict.confidence, verdict.situation, names)
        for proposal in verdict.cause.advise(verdict.situation)
    )
