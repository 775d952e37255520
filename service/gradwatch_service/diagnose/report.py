"""Writes what an alert says: title, explanation, evidence, layers and advice of a claim."""

from __future__ import annotations

from gradwatch_service.diagnose.fusion import Claim, Verdict
from gradwatch_service.diagnose.rescue import rescue
from gradwatch_service.diagnose.situation import worst
from gradwatch_service.domain import Advice, Evidence, Suspect

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


def layers(claim: Claim, before: tuple[str, ...]) -> tuple[str, ...]:
    """The first mover, those named ``before``, those that move now or a rule names; at most 8."""
    situation = claim.verdict.situation
    first = (situation.mover.name,) if situation.mover is not None else ()
    named = [name for held in claim.findings for name in held.layers]
    return tuple(dict.fromkeys((*first, *before, *situation.hot_layers, *named)))[:MAX_LAYERS]


def advice(claim: Claim) -> tuple[Advice, ...]:
    """What to do, best first; what was tried in this trouble without success comes last."""
    verdict = claim.verdict
    s = verdict.situation
    names = tuple(fact.name for fact in verdict.evidence if (fact.weight or 0) > 0)
    own = verdict.cause.advise(s)
    known = {one.action for one in own}
    rescued = rescue(s) if verdict.cause.calls else ()
    more = (one for one in rescued if one.action not in known)
    ranked = sorted((*own, *more), key=lambda one: one.failed(s))  # stable
    return tuple(one.advice(verdict.cause.id, verdict.confidence, s, names) for one in ranked)


def causes(claim: Claim) -> tuple[Suspect, ...]:
    """The cause, and the runner-up if there is one."""
    return tuple(_suspect(x) for x in (claim.verdict, claim.runner_up) if x is not None)


def _suspect(verdict: Verdict) -> Suspect:
    return Suspect(
        cause=verdict.cause.id,
        title=verdict.cause.title,
        confidence=verdict.confidence,
        evidence=tuple(fact for fact in verdict.evidence if (fact.weight or 0) > 0),
        against=tuple(fact for fact in verdict.evidence if (fact.weight or 0) < 0),
    )
