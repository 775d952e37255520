"""What a cause judges: everything known at one report, in plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradwatch_service.detect.episodes import Finding
from gradwatch_service.diagnose.history import Mark
from gradwatch_service.diagnose.rates import Rates
from gradwatch_service.domain import Evidence, Facts, Guard, LayerTable, Severity

RECENTLY = 64
RECURRENT_SPIKES = 4
# Rules that show a lasting fault rather than one bad report.
LASTING = frozenset(
    {
        "depth-explosion",
        "early-explosion",
        "explosion-through-time",
        "gradient-growth",
        "loss-above-initial",
        "loss-divergence",
        "update-ratio-high",
        "update-step-huge",
    }
)


@dataclass(frozen=True, slots=True)
class Held:
    """What diagnosis keeps of a rule's episode: its worst level, its facts, the layers it named."""

    rule: str
    severity: Severity
    opened_ordinal: int
    opened_step: int
    evidence: tuple[Evidence, ...]
    layers: tuple[str, ...]
    ended_ordinal: int | None = None

    @property
    def active(self) -> bool:
        """Whether the episode goes on."""
        return self.ended_ordinal is None

    def fact(self, name: str) -> Evidence | None:
        """The fact of this name, if the rule reported one."""
        return next((fact for fact in self.evidence if fact.name == name), None)


def hold(before: Held | None, finding: Finding) -> Held:
    """Keep a finding: new facts replace those of the same name, an end is only noted."""
    if finding.kind == "cleared" and before is not None:
        return Held(
            before.rule, before.severity, before.opened_ordinal, before.opened_step,
            before.evidence, before.layers, finding.ordinal,
        )  # fmt: skip
    goes_on = before is not None and before.opened_ordinal == finding.opened_ordinal
    facts = {fact.name: fact for fact in before.evidence} if before is not None and goes_on else {}
    facts |= {fact.name: fact for fact in finding.evidence}
    return Held(
        rule=finding.rule,
        severity=finding.severity,
        opened_ordinal=finding.opened_ordinal,
        opened_step=finding.opened_step,
        evidence=tuple(facts.values()),
        layers=finding.layers,
    )


@dataclass(frozen=True, slots=True)
class Mover:
    """The layer that moved first; ``share`` of the sum of squared gradients; ``hot``: z ≥ 6."""

    name: str
    kind: str
    share: float | None
    hot: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """One report, seen with everything before it. Unknown numbers are None.

    ``held``: rules active or ended at most 64 reports ago; ``scope``: rules a cause explains;
    ``uw``: median update ratio of 16 reports, ``uw_now`` of this one, ``uw_rise`` its bits over the
    slow level; ``moving``: share of the layers that run hot; ``beta``: bits by which the gradient
    grows per step back in time; ``shifted``: norm and loss stand at a new level, without growth;
    ``gains``: initial gain of each layer of a chain.
    """

    ordinal: int
    step: int
    increment: int
    facts: Facts
    layers: LayerTable
    held: Mapping[str, Held]
    scope: frozenset[str]
    rates: Rates
    guard: Guard
    uw: float | None
    uw_now: float | None
    uw_rise: float
    norm: float | None
    normal: float | None
    loss_z: float
    clip_norm: float | None
    loss_scale: float | None
    largest: float | None
    mover: Mover | None
    hot_layers: tuple[str, ...]
    moving: float
    beta: float | None
    time_steps: int
    shifted: bool
    high_reports: int
    spikes: int
    marks: tuple[Mark, ...]
    gains: Mapping[str, float]

    def sees(self, *rules: str) -> bool:
        """Whether one of these rules holds or ended at most 64 reports ago."""
        return any(rule in self.held for rule in rules)

    def at_least(self, rule: str, severity: Severity) -> bool:
        """Whether the rule was seen at this severity or worse."""
        return rule in self.held and self.held[rule].severity >= severity

    def fact(self, rule: str, name: str) -> Evidence | None:
        """A fact the rule reported, by name."""
        return self.held[rule].fact(name) if rule in self.held else None

    @property
    def active(self) -> tuple[Held, ...]:
        """The findings of this scope that go on, earliest first."""
        found = [x for x in self.held.values() if x.active and x.rule in self.scope]
        return tuple(sorted(found, key=lambda x: (x.opened_ordinal, x.rule)))

    @property
    def onset_ordinal(self) -> int:
        """Report at which the earliest finding of this scope began."""
        return min((x.opened_ordinal for x in self.active), default=self.ordinal)

    @property
    def onset_step(self) -> int:
        """Step at which the earliest finding of this scope began."""
        return min((x.opened_step for x in self.active), default=self.step)

    @property
    def lr(self) -> float | None:
        """The learning rate now."""
        return self.rates.now

    @property
    def place(self) -> str:
        """Where it happens, as words to append: the first mover, or nothing."""
        return f" in {self.mover.name}" if self.mover is not None else ""
