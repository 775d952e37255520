"""What a cause judges: everything known at one report, in plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradwatch_service.detect.episodes import Finding
from gradwatch_service.diagnose.blow import Blow
from gradwatch_service.diagnose.history import Break
from gradwatch_service.diagnose.rates import Rates
from gradwatch_service.diagnose.standing import Standing
from gradwatch_service.diagnose.trials import Trials
from gradwatch_service.domain import Evidence, Facts, Guard, LayerTable, Severity

RECENTLY = 64
RECURRENT_SPIKES = 4
SPIKES = ("gradient-spike", "loss-spike")
ISOLATED, RECURRENT, LEVEL_SHIFT, ESCALATING = 1, 2, 3, 4  # values of the fact "spike-class"
# Rules that show a lasting fault rather than one bad report.
LASTING = frozenset(
    {
        "depth-explosion",
        "early-explosion",
        "explosion-through-time",
        "gradient-creep",
        "gradient-growth",
        "instability-onset",
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


def worst(findings: tuple[Held, ...]) -> Held:
    """The most severe finding; the earliest of equals."""
    return min(findings, key=lambda held: (-held.severity, held.opened_ordinal, held.rule))


@dataclass(frozen=True, slots=True)
class Mover:
    """The layer that moved first; ``share`` of the sum of squared gradients; ``hot``: z ≥ 6.

    ``excess``: how many times its median its norm is; 1 where that is not known.
    """

    name: str
    kind: str
    share: float | None
    hot: bool
    excess: float = 1.0


@dataclass(frozen=True, slots=True)
class Situation:
    """One report, seen with everything before it. Unknown numbers are None."""

    ordinal: int
    step: int
    increment: int
    facts: Facts
    layers: LayerTable
    held: Mapping[str, Held]  # rules active, or ended at most 64 reports ago
    scope: frozenset[str]  # rules that the cause explains
    rates: Rates = field(default_factory=Rates)
    guard: Guard = field(default_factory=Guard)
    trials: Trials = field(default_factory=dict)
    phases: tuple[int, ...] = ()  # steps at which the job announced one
    checkpoints: tuple[int, ...] = ()  # steps of those before which nothing was wrong
    first_step: int = 0
    # updates and loss
    uw: float | None = None  # median update ratio of 16 reports
    uw_rise: float = 0.0  # its bits over the slow level
    shifted: bool = False  # norm and loss stand at a new level, without growth
    falling: bool = False  # the loss came down over the last 64 values
    lower: bool = False  # the loss is below its level of long ago
    # gradient norm
    normal: float | None = None  # the usual one
    tail: float = 0.0  # the spike limit zt, in scales
    high_reports: int = 0  # of the last 16, with a norm out of range
    burst: bool = False  # those were on end
    spikes: int = 0  # in 1,024 reports
    blow: Blow | None = None  # the newest
    skips: int = 0  # updates the guard skipped in 512
    clip_norm: float | None = None
    unclipped_since: int | None = None  # report at which a clipping limit was lifted
    standing: Standing = field(default_factory=Standing)  # the reduced norm to the rank's own
    broken: Break | None = None  # how the newest non-finite numbers began
    # number format
    loss_scale: float | None = None
    largest: float | None = None  # newest finite ``grad_max`` over all layers
    zeros: float = 0.0  # rise of the share of zeros in the gradients since the start
    # layers
    mover: Mover | None = None
    hot_layers: tuple[str, ...] = ()  # those that move
    moving: float = 0.0  # their share
    norms_gone: bool = False  # no normalisation layer gets a gradient any more
    grown: Evidence | None = None  # which weights grow most, and how much in 32 reports
    lag: float | None = None  # median of rms(g / sqrt(v))
    beta: float | None = None  # bits by which the gradient grows per step back in time
    through: float | None = None  # and over this report's whole sequence
    gains: Mapping[str, float] = field(default_factory=dict)  # initial, of a badly scaled chain

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
    def spike_class(self) -> int | None:
        """How the newest spikes were classed, the worst of them; None: not decided yet."""
        facts = [self.fact(rule, "spike-class") for rule in SPIKES]
        return max((int(x.value) for x in facts if x is not None and x.value), default=None)

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
    def lead(self) -> str:
        """Rule of the most severe finding of this scope, the earliest of equals; empty: none."""
        return worst(self.active).rule if self.active else ""

    @property
    def lr(self) -> float | None:
        """The learning rate now."""
        return self.rates.now

    @property
    def place(self) -> str:
        """Where it happens, as words to append: the first mover, or nothing."""
        return f" in {self.mover.name}" if self.mover is not None else ""
