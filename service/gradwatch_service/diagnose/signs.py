"""Evidence that several causes weigh: each says in words what it sees, or None."""

from __future__ import annotations

from collections.abc import Callable

from gradwatch_service.diagnose.blow import Blow
from gradwatch_service.diagnose.rates import JUMP_FACTOR, Jump
from gradwatch_service.diagnose.situation import (
    ESCALATING,
    LASTING,
    LEVEL_SHIFT,
    RECENTLY,
    RECURRENT_SPIKES,
    SPIKES,
    Situation,
)
from gradwatch_service.domain import Severity

LARGE_RATIO = 0.02
RUSHED_RATIO = 0.01
RELATIVE_BITS = 2.0
BEGINNING = 32
EARLY_DEATH = 64
AFTERMATH = 256
USUAL_RATIO = 0.005
MIN_LAYERS = 4
RATE_ACTIONS = frozenset({"cap_lr", "rollback", "scale_lr", "warmup_lr"})
NEAR_ZERO = 1e-3
BRAIN = frozenset({"bfloat16", "bf16"})
HALF = frozenset({"float16", "fp16", "half"})
_WEIGHT_DIMENSIONS = 2


def told_by(*rules: str) -> Callable[[Situation], str | None]:
    """The sign that one of these rules holds, in the words of the first that does."""

    def seen(s: Situation) -> str | None:
        rule = next((rule for rule in rules if s.sees(rule)), None)
        if rule is None:
            return None
        fact = s.fact(rule, rule)
        return fact.text if fact is not None else f"the rule {rule} holds"

    seen.__doc__ = f"The rule {' or '.join(rules)} holds, or did in the last 64 reports."
    return seen


_updates_told = told_by("update-step-huge", "update-ratio-high")


def updates_large(s: Situation) -> str | None:
    """Updates are large against the weights, by a warning of their rules or before those speak."""
    if s.sees("update-step-huge") or s.at_least("update-ratio-high", Severity.WARNING):
        return _updates_told(s)
    if s.uw is not None and s.uw >= LARGE_RATIO and not s.sees("update-ratio-high"):
        return f"updates are {s.uw:.2g} of the weights' norm; about 0.001 is usual"
    return None


def updates_usual(s: Situation) -> str | None:
    """Updates are known and have the usual size; not where a net blows up at once, or swings."""
    if s.sees("early-explosion", "instability-onset", "loss-oscillation"):
        return None
    if s.uw is None or s.uw > USUAL_RATIO or updates_large(s) or s.uw_rise >= RELATIVE_BITS:
        return None
    return f"updates are {s.uw:.2g} of the weights' norm, which is usual"


def loss_diverges(s: Situation) -> str | None:
    """By a warning at least the loss has left its level, or risen over its initial value."""
    if s.at_least("loss-divergence", Severity.WARNING):
        return "the loss has left its level upwards and stays there"
    above = s.at_least("loss-above-initial", Severity.WARNING)
    return "the loss is above its initial value" if above else None


def one_layer_only(s: Situation) -> str | None:
    """A single layer of several moves."""
    if len(s.hot_layers) == 1 and len(s.layers) >= MIN_LAYERS:
        return f"only {s.hot_layers[0]} of {len(s.layers)} layers moves"
    return None


def growth_before(s: Situation) -> str | None:
    """A lasting fault, a warning at least, was seen in the last 64 reports."""
    seen = sorted(rule for rule in LASTING if s.at_least(rule, Severity.WARNING))
    return f"the run was not healthy before: {', '.join(seen)}" if seen else None


def struck(s: Situation) -> str | None:
    """Loss and gradient jumped in one report after an ordinary update, then the norm came down."""
    blow = _blow(s)
    if blow is None or not blow.in_loss or not blow.fades(s.ordinal) or broke(s, blow.ordinal):
        return None
    times = "" if blow.count == 1 else f", and {blow.count - 1} times more since"
    return f"loss and gradient jumped at once out of the blue at step {blow.step}{times}"


def broke(s: Situation, ordinal: int) -> bool:
    """Whether numbers that are not finite have followed since this report."""
    held = s.held.get("non-finite")
    return held is not None and held.opened_ordinal > ordinal


def spike_broke(s: Situation) -> bool:
    """Whether a spike ended in numbers that are not finite."""
    return any(rule in s.held and broke(s, s.held[rule].opened_ordinal) for rule in SPIKES)


def sudden(s: Situation) -> str | None:
    """The gradient jumped to 16 times its usual norm in one report after an ordinary update."""
    blow = _blow(s)
    if blow is None or blow.in_loss or rate_jumped(s):
        return None
    return f"the gradient jumped from one report to the next at step {blow.step}, the loss did not"


def _blow(s: Situation) -> Blow | None:
    """The blow in whose wake the findings of this scope began, with nothing lasting before."""
    blow = s.blow
    if blow is None or s.ordinal - blow.last > AFTERMATH:
        return None
    opened = [held.opened_ordinal - blow.ordinal for held in s.active]
    in_wake = any(-1 <= reports <= AFTERMATH for reports in opened)
    lasting = [s.held[rule] for rule in LASTING if s.at_least(rule, Severity.WARNING)]
    lasted = any(held.active and held.opened_ordinal < blow.ordinal for held in lasting)
    return blow if in_wake and not lasted else None


def spikes_recur(s: Situation) -> str | None:
    """Four spikes and more in 1,024 reports, after each of which the level came back."""
    if growth_before(s) or s.spike_class in {LEVEL_SHIFT, ESCALATING}:
        return None
    return f"{s.spikes} spikes in 1,024 reports" if s.spikes >= RECURRENT_SPIKES else None


def net_dies(s: Situation) -> str | None:
    """Most layers have died while updates were large, or in the first 64 reports."""
    dead = s.fact("dead-layer", "dead-net")
    if dead is None:
        return None
    opened = s.held["dead-layer"].opened_ordinal
    return dead.text if updates_large(s) or opened < EARLY_DEATH else None


def units_die(s: Situation) -> str | None:
    """Units of some layers have died, and updates are ≥ .01 of the weights or were so before."""
    dead = s.fact("dead-layer", "dead-layer")
    if dead is None or s.fact("dead-layer", "dead-net") or s.uw is None:
        return None
    before = s.uw * 2.0**-s.uw_rise
    return dead.text if max(s.uw, before) >= RUSHED_RATIO else None


def rushes(s: Situation) -> bool:
    """Whether updates are ≥ .01 of the weights, ten times what is usual."""
    return s.uw is not None and s.uw >= RUSHED_RATIO


def rate_record(s: Situation) -> str | None:
    """The loss has turned upwards while the learning rate goes where it has never been."""
    fact = s.fact("loss-divergence", "rate-record")
    return None if fact is None else fact.text


depth_profile_off = told_by("depth-explosion", "depth-vanishing")
init_gain_seen = told_by("init-gain-profile")


def rate_jumped(s: Situation) -> str | None:
    """Trouble began within 64 reports of a rise of the rate by ≥ 1.25x that no advice made."""
    jump = s.rates.jump
    if jump is None or _by_advice(s, jump):
        return None
    if not any(0 <= held.opened_ordinal - jump.ordinal <= RECENTLY for held in s.active):
        return None
    return (
        f"the learning rate went from {jump.old:.3g} to {jump.new:.3g} "
        f"({jump.new / jump.old:.3g}x, at least {JUMP_FACTOR}x counts) at step {jump.step}"
    )


def phase_announced(s: Situation) -> str | None:
    """The job announced a new phase within the 64 reports before."""
    earliest = s.onset_step - RECENTLY * s.increment
    phases = [step for step in s.phases if earliest <= step <= s.onset_step]
    return f"the job announced a new phase at step {phases[-1]}" if phases else None


def _by_advice(s: Situation, jump: Jump) -> bool:
    """Whether advice applied, or undone, in the 64 reports before changed the learning rate."""
    steps = [trial.changed_step for name, trial in s.trials.items() if name in RATE_ACTIONS]
    most = RECENTLY * s.increment
    return any(step is not None and 0 <= jump.step - step <= most for step in steps)


def rate_near_zero(s: Situation) -> str | None:
    """The learning rate is at most a thousandth of its peak."""
    if s.lr is None or s.lr > NEAR_ZERO * s.rates.peak:
        return None
    return f"the learning rate is {s.lr:.3g}, near the end of its schedule"


def half_precision(s: Situation) -> str | None:
    """Layers are held in half precision, or a loss scale is reported and none in bfloat16."""
    kinds = {layer.dtype for layer in s.layers.layers}
    if kinds & HALF:
        return "layers are held in half precision"
    if kinds & BRAIN:
        return None
    if s.loss_scale is not None and s.loss_scale != 1:
        return f"the loss is scaled by {s.loss_scale:g}, as half precision needs it"
    return None


def no_norm_layers(s: Situation) -> str | None:
    """The table describes its layers, and none of them is normalised."""
    weights = [layer for layer in s.layers.layers if len(layer.shape) >= _WEIGHT_DIMENSIONS]
    if len(weights) < MIN_LAYERS or not all(layer.kind for layer in weights):
        return None
    if any(layer.normalised or layer.kind == "norm" for layer in s.layers.layers):
        return None
    return f"none of the {len(weights)} weight layers is normalised"


def normalised_or_residual(s: Situation) -> str | None:
    """At least half of the weight layers are normalised or in a residual branch."""
    weights = [layer for layer in s.layers.layers if len(layer.shape) >= _WEIGHT_DIMENSIONS]
    safe = sum(bool(layer.normalised or layer.residual) for layer in weights)
    if weights and 2 * safe >= len(weights):
        return f"{safe} of {len(weights)} weight layers are normalised or residual"
    return None
