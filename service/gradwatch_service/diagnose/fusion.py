"""Fusion: covers the findings that hold with the most likely causes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from gradwatch_service.diagnose.cause import Cause
from gradwatch_service.diagnose.causes import catalogue
from gradwatch_service.diagnose.situation import Held, Mover, Situation, worst
from gradwatch_service.domain import Evidence

PRIOR = -2
LIVE_BONUS = 1
MAX_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Verdict:
    """How likely a cause is in a situation; ``situation`` is scoped to what the cause explains."""

    cause: Cause
    situation: Situation
    score: int
    evidence: tuple[Evidence, ...]

    @property
    def is_supported(self) -> bool:
        """Whether more speaks for the cause than against it."""
        return self.score > PRIOR

    @property
    def confidence(self) -> float:
        """min(.95, sigmoid(score)), to three digits."""
        return round(min(MAX_CONFIDENCE, 1 / (1 + math.exp(-self.score))), 3)


@dataclass(frozen=True, slots=True)
class Claim:
    """A cause, the findings it takes, and the runner-up that could explain the first of them."""

    verdict: Verdict
    findings: tuple[Held, ...]
    runner_up: Verdict | None


def judge(cause: Cause, situation: Situation, named: Mover | None = None) -> Verdict:
    """Weigh the evidence for and against one cause: Σ weights - 2.

    ``named``: the first mover its live alert has named already. It stays the first, unless it was
    only guessed and a layer that runs hot is known now.
    """
    now = situation.mover
    keeps = named is not None and (named.hot or now is None or not now.hot)
    scoped = replace(situation, scope=cause.explains, mover=named if keeps else now)
    seen = [(sign, text) for sign in cause.signs if (text := sign.seen(scoped)) is not None]
    evidence = tuple(
        Evidence(sign.name, text, situation.step, weight=float(sign.weight)) for sign, text in seen
    )
    return Verdict(cause, scoped, PRIOR + sum(sign.weight for sign, _ in seen), evidence)


def cover(situation: Situation, live: Mapping[str, Mover | None]) -> tuple[Claim, ...]:
    """Give every active finding to the best cause that explains it; it takes all it can.

    ``live``: causes of live alerts with the first mover they named. They get a bonus of 1, so that
    nearly equal causes do not take turns. Causes that no more speaks for than against come last, in
    the order of the catalogue.
    """
    left = {held.rule for held in situation.held.values() if held.active}
    explaining = (cause for cause in catalogue() if cause.explains & left)
    ranked = _ranked([judge(cause, situation, live.get(cause.id)) for cause in explaining], live)
    claims = []
    for verdict in ranked:
        taken = tuple(held for held in verdict.situation.active if held.rule in left)
        if taken:
            claims.append(Claim(verdict, taken, _runner_up(verdict, taken, ranked)))
            left -= {held.rule for held in taken}
    return tuple(claims)


def _ranked(candidates: list[Verdict], live: Collection[str]) -> list[Verdict]:
    """The likeliest first; equal ones stay in the order of the catalogue."""

    def rank(verdict: Verdict) -> tuple[bool, int]:
        bonus = LIVE_BONUS if verdict.cause.id in live else 0
        supported = verdict.is_supported
        return not supported, -(verdict.score + bonus) if supported else 0

    return sorted(candidates, key=rank)


def _runner_up(verdict: Verdict, taken: tuple[Held, ...], ranked: list[Verdict]) -> Verdict | None:
    lead = worst(taken).rule
    others = (x for x in ranked if x is not verdict and lead in x.cause.explains)
    return next((x for x in others if x.is_supported), None)
