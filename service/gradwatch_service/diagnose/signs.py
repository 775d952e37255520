"""Evidence that several causes weigh: each says in words what it sees, or None."""

from __future__ import annotations

from gradwatch_service.diagnose.rates import JUMP_FACTOR
from gradwatch_service.diagnose.situation import LASTING, RECENTLY, RECURRENT_SPIKES, Situation

LARGE_RATIO = 0.02
RELATIVE_BITS = 2.0
BEGINNING = 32
MIN_LAYERS = 4
_WEIGHT_DIMENSIONS = 2


def updates_large(s: Situation) -> str | None:
    """Updates are large against the weights: by their rules, or before those can speak."""
    ratio = s.fact("update-step-huge", "update-step-huge") or s.fact(
        "update-ratio-high", "update-ratio-high"
    )
    if ratio is not None:
        return ratio.text
    if s.uw is not None and s.uw >= LARGE_RATIO:
        return f"updates are {s.uw:.2g} of the weights' norm; about 0.001 is usual"
    return None


def loss_diverges(s: Situation) -> str | None:
    """The loss has left its level, or risen over its initial value."""
    if s.sees("loss-divergence"):
        return "the loss has left its level upwards and stays there"
    return "the loss is above its initial value" if s.sees("loss-above-initial") else None


def one_layer_only(s: Situation) -> str | None:
    """A single layer of several moves."""
    if len(s.hot_layers) == 1 and len(s.layers) >= MIN_LAYERS:
        return f"only {s.hot_layers[0]} of {len(s.layers)} layers moves"
    return None


def growth_before(s: Situation) -> str | None:
    """A lasting fault was seen in the last 64 reports."""
    seen = sorted(LASTING.intersection(s.held))
    return f"the run was not healthy before: {', '.join(seen)}" if seen else None


def spikes_recur(s: Situation) -> str | None:
    """Spikes keep coming: four or more in 1,024 reports."""
    return f"{s.spikes} spikes in 1,024 reports" if s.spikes >= RECURRENT_SPIKES else None


def depth_profile_off(s: Situation) -> str | None:
    """The back-propagated signal grows or dies from layer to layer."""
    for rule in ("depth-explosion", "depth-vanishing"):
        fact = s.fact(rule, rule)
        if fact is not None:
            return fact.text
    return None


def init_gain_seen(s: Situation) -> str | None:
    """The initial weights amplified the signal."""
    fact = s.fact("init-gain-profile", "init-gain-profile")
    return fact.text if fact else None


def rate_jumped(s: Situation) -> str | None:
    """The learning rate rose by ≥ 1.25x within the 64 reports before the onset."""
    jump = s.rates.jump
    if jump is None or not 0 <= s.onset_ordinal - jump.ordinal <= RECENTLY:
        return None
    return (
        f"the learning rate went from {jump.old:.3g} to {jump.new:.3g} "
        f"({jump.new / jump.old:.3g}x, at least {JUMP_FACTOR}x counts) at step {jump.step}"
    )


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
