"""Evidence that several causes weigh."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradwatch_service.diagnose import signs
from gradwatch_service.diagnose.blow import Blow
from gradwatch_service.diagnose.causes.heavy_tailed_but_healthy import CAUSE as HEAVY_TAILED
from gradwatch_service.diagnose.causes.learning_rate_jump import CAUSE as LEARNING_RATE_JUMP
from gradwatch_service.diagnose.fusion import judge
from gradwatch_service.diagnose.rates import Jump, Rates
from gradwatch_service.domain import Evidence, Layer, LayerTable, Severity
from tests.service.diagnose.situations import held, situation
from tests.service.diagnose.streams import mlp


def test_large_updates_are_told_by_their_rules_first() -> None:
    both = situation(held("update-step-huge"), held("update-ratio-high"), uw=0.5)
    assert signs.updates_large(both) == "update-step-huge was seen"
    assert signs.updates_large(situation(held("update-ratio-high"))) == "update-ratio-high was seen"


@pytest.mark.parametrize(("uw", "large"), [(None, False), (0.019, False), (0.02, True)])
def test_updates_are_large_from_two_percent_on(uw: float | None, large: bool) -> None:
    assert (signs.updates_large(situation(uw=uw)) is not None) is large


def test_divergence_is_the_loss_off_its_level_or_above_its_start() -> None:
    assert signs.loss_diverges(situation()) is None
    assert "left its level" in str(signs.loss_diverges(situation(held("loss-divergence"))))
    assert "initial value" in str(signs.loss_diverges(situation(held("loss-above-initial"))))


def test_one_layer_of_few_says_nothing() -> None:
    assert signs.one_layer_only(situation(hot_layers=("fc1",))) == "only fc1 of 6 layers moves"
    assert signs.one_layer_only(situation(hot_layers=("fc1", "fc2"))) is None
    assert signs.one_layer_only(situation(hot_layers=("fc1",), layers=mlp(3))) is None


def test_a_lasting_fault_is_named() -> None:
    s = situation(held("gradient-growth"), held("early-explosion"), held("gradient-spike"))
    assert str(signs.growth_before(s)).endswith("before: early-explosion, gradient-growth")


@pytest.mark.parametrize(("spikes", "recur"), [(3, False), (4, True)])
def test_four_spikes_recur(spikes: int, recur: bool) -> None:
    assert (signs.spikes_recur(situation(spikes=spikes)) is not None) is recur


@pytest.mark.parametrize(("jump", "counts"), [(435, False), (436, True), (500, True), (501, False)])
def test_a_jump_counts_within_64_reports_before_the_onset(jump: int, counts: bool) -> None:
    rates = Rates(np.ones(1), 1.0, 1.0, Jump(jump, jump, 0.5, 1.0))
    text = signs.rate_jumped(situation(held("update-ratio-high"), rates=rates))
    assert (text is not None) is counts


@pytest.mark.parametrize(
    ("layers", "plain"),
    [
        (mlp(4), True),
        (mlp(3), False),
        (mlp(4, normalised=True), False),
        (mlp(4, normalised=None), True),
        (mlp(4, kind=""), False),
        (LayerTable((*mlp(4).layers, Layer("ln", "norm", 4, (64,)))), False),
        (LayerTable(tuple(Layer(name) for name in "abcd")), False),
    ],
)
def test_only_a_described_net_without_normalisation_is_plain(
    layers: LayerTable, plain: bool
) -> None:
    assert (signs.no_norm_layers(situation(layers=layers)) is not None) is plain


@pytest.mark.parametrize(("residual", "safe"), [(1, False), (2, True), (4, True)])
def test_half_of_the_layers_make_a_net_safe(residual: int, safe: bool) -> None:
    table = LayerTable((*mlp(residual, residual=True).layers, *mlp(4).layers[residual:]))
    text = signs.normalised_or_residual(situation(layers=table))
    assert (text is not None) is safe


def test_the_depth_profile_may_be_off_either_way() -> None:
    assert signs.depth_profile_off(situation()) is None
    for rule in ("depth-explosion", "depth-vanishing"):
        assert signs.depth_profile_off(situation(held(rule))) == f"{rule} was seen"


def test_a_sign_may_be_told_by_a_rule_in_its_words() -> None:
    sign = signs.told_by("gradient-growth", "gradient-creep")
    assert sign(situation()) is None
    assert sign(situation(held("gradient-creep"))) == "gradient-creep was seen"
    both = situation(held("gradient-creep"), held("gradient-growth", facts=()))
    assert sign(both) == "the rule gradient-growth holds"
    assert str(sign.__doc__).startswith("The rule gradient-growth or gradient-creep holds")


@pytest.mark.parametrize(
    ("dtype", "scale", "half"),
    [
        ("float16", None, True),
        ("float32", None, False),
        ("float32", 1.0, False),
        ("float32", 1024.0, True),
        ("bfloat16", 1024.0, False),
    ],
)
def test_half_precision_shows_in_the_layers_or_the_loss_scale(
    dtype: str, scale: float | None, half: bool
) -> None:
    s = situation(layers=mlp(4, dtype=dtype), loss_scale=scale)
    assert (signs.half_precision(s) is not None) is half


@pytest.mark.parametrize(
    ("rule", "kind", "recur"), [("gradient-spike", 1.0, True), ("gradient-spike", 3.0, False)]
)
def test_a_level_that_shifted_is_no_series_of_spikes(rule: str, kind: float, recur: bool) -> None:
    facts = (Evidence("spike-class", "its class", 500, kind),)
    s = situation(held(rule, facts=facts), spikes=5)
    assert s.spike_class == int(kind)
    assert (signs.spikes_recur(s) is not None) is recur
    assert signs.spikes_recur(situation(held("gradient-growth"), spikes=5)) is None


@pytest.mark.parametrize(("lr", "near"), [(None, False), (1e-3, True), (2e-3, False)])
def test_a_rate_is_near_zero_at_a_thousandth_of_its_peak(lr: float | None, near: bool) -> None:
    recent = np.array([] if lr is None else [lr])
    s = situation(rates=Rates(recent, 1.0, 1.0))
    assert (signs.rate_near_zero(s) is not None) is near


def blow(**changed: Any) -> Blow:
    return replace(Blow(500, 500, 500, peak=0, loss=None), **changed)


@pytest.mark.parametrize(
    ("opened", "before", "seen"),
    [
        (499, None, True),
        (498, None, False),
        (500, 400, False),
        (756, None, True),
        (757, None, False),
    ],
)
def test_findings_in_the_wake_of_a_blow_are_its_doing_unless_something_lasted_before(
    opened: int, before: int | None, seen: bool
) -> None:
    findings = [held("gradient-spike", opened=opened)]
    if before is not None:
        findings.append(held("gradient-growth", opened=before))
    s = situation(*findings, blow=blow())
    assert (signs.sudden(s) is not None) is seen
    struck = replace(s, blow=blow(loss=0, faded=True))
    assert (signs.struck(struck) is not None) is seen
    assert signs.sudden(struck) is None


def test_a_blow_is_forgotten_after_256_reports() -> None:
    wake = held("gradient-spike")
    assert signs.sudden(situation(wake, ordinal=756, blow=blow()))
    assert signs.sudden(situation(wake, ordinal=757, blow=blow())) is None


def test_a_blow_that_does_not_fade_is_none_to_the_loss() -> None:
    wake = held("gradient-spike")
    assert signs.struck(situation(wake, ordinal=506, blow=blow(loss=0)))
    assert signs.struck(situation(wake, ordinal=507, blow=blow(loss=0))) is None


def test_a_series_of_blows_is_counted() -> None:
    s = situation(held("gradient-spike"), blow=blow(loss=0, faded=True, count=3))
    assert str(signs.struck(s)).endswith("at step 500, and 2 times more since")


@pytest.mark.parametrize(("before", "speaks"), [(True, True), (False, False)])
def test_trouble_as_bad_before_the_jump_speaks_against_it(before: bool, speaks: bool) -> None:
    jumped = Rates(jump=Jump(495, 495, 0.1, 0.4))
    severity = Severity.ERROR if before else Severity.WARNING
    s = situation(
        held("loss-divergence", severity, opened=480),
        held("update-ratio-high", Severity.ERROR, opened=500),
        rates=jumped,
    )
    weights = {fact.name: fact.weight for fact in judge(LEARNING_RATE_JUMP, s).evidence}
    assert weights["rate-jumped"] == 4.0
    assert ("trouble-before-the-jump" in weights) is speaks


def test_heavy_tails_are_not_spikes_that_stay() -> None:
    shifted = held("gradient-spike", facts=(Evidence("spike-class", "a level shift", 500, 3.0),))
    healthy = situation(held("gradient-spike"), spikes=4, lower=True)
    assert "comes-and-goes" in {fact.name for fact in judge(HEAVY_TAILED, healthy).evidence}
    stays = situation(shifted, spikes=4, lower=True)
    assert judge(HEAVY_TAILED, stays).evidence == ()


def test_units_that_die_are_blamed_on_large_updates_a_dead_net_on_its_own_sign() -> None:
    units = Evidence("dead-layer", "97% of its gradient is zero", 500, 0.97)
    net = Evidence("dead-net", "the net is dead", 500, 8)
    assert signs.units_die(situation(held("dead-layer", facts=(units,)), uw=0.012)) == units.text
    assert signs.units_die(situation(held("dead-layer", facts=(units,)), uw=0.003)) is None
    both = situation(held("dead-layer", facts=(units, net)), uw=0.03)
    assert (signs.units_die(both), signs.net_dies(both)) == (None, net.text)
