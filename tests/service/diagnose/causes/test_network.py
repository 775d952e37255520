"""The causes that lie in the network: initialisation, depth, time, one layer, saturation."""

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32, Layer, LayerTable
from tests.service.diagnose.faults import (
    LANGUAGE,
    bad_initialisation,
    dead_units,
    explosion_through_time,
    missing_normalisation,
    one_layer,
    vanishing_gradients,
)
from tests.service.diagnose.streams import Stream, healthy, mlp, tell


def through_time_parts(stream: Stream) -> set[str]:
    return set(tell(stream).parts)


def test_bad_initialisation_divides_each_layer_by_its_gain() -> None:
    told = tell(bad_initialisation())
    advised = told.advised("bad-initialisation")
    assert list(advised) == ["reinit_layers", "change_model", "warmup_lr"]
    assert advised["reinit_layers"] == {"divide_by": {f"fc{i}": 4.0 for i in range(8)}}
    assert advised["change_model"] == {"change": "normalisation", "residual_scale": 0.25}
    assert told.signs("bad-initialisation") == {
        "initial-gain": 5.0,
        "from-the-first-reports": 2.0,
    }
    assert told.story[0] == ("firing", "bad-initialisation", 0)
    assert told.parts["bad-initialisation"].actionable


def test_bad_initialisation_never_advises_the_learning_rate_alone() -> None:
    told = tell(bad_initialisation())
    assert list(told.parts) == ["bad-initialisation"]
    assert "scale_lr" not in told.advised("bad-initialisation")


@pytest.mark.parametrize("kind", ["residual", "normalised"])
def test_normalised_and_residual_nets_are_not_badly_initialised(kind: str) -> None:
    assert "bad-initialisation" not in tell(bad_initialisation(**{kind: True})).parts


def test_a_depth_explosion_that_comes_late_lacks_normalisation() -> None:
    told = tell(missing_normalisation())
    assert told.signs("missing-normalisation") == {
        "late-depth-explosion": 3.0,
        "no-normalisation": 2.0,
    }
    advised = told.advised("missing-normalisation")
    assert advised["clip_grad_norm"]["max_norm"] == pytest.approx(3, rel=0.05)
    assert advised["change_model"]["residual_scale"] == pytest.approx(12**-0.5)
    assert told.parts["missing-normalisation"].layers[0] == "fc0"


def test_a_depth_explosion_from_the_start_is_the_initialisation() -> None:
    stream = missing_normalisation()
    stream.stats["grad_norm"][:150] *= 2.0 ** (1.6 * np.arange(6)[::-1])
    assert list(tell(stream).parts) == ["bad-initialisation"]


def test_an_explosion_through_time_is_cut_where_it_reaches_six_bits() -> None:
    told = tell(explosion_through_time(beta=0.41, time_steps=24))
    advised = told.advised("explosion-through-time")
    assert list(advised) == ["clip_grad_norm", "truncate_bptt", "reinit_layers", "change_model"]
    assert advised["truncate_bptt"] == {"time_steps": 14}
    assert advised["reinit_layers"] == {
        "layers": ["W_hh"],
        "method": "orthogonal",
        "spectral_radius": 0.95,
    }
    assert advised["clip_grad_norm"]["max_norm"] == pytest.approx(2.18, rel=0.01)
    assert list(told.parts) == ["explosion-through-time"]
    assert told.parts["explosion-through-time"].title == (
        "Gradients explode through time in W_hh (step 123)"
    )


def test_a_recurrent_layer_that_moves_first_is_evidence() -> None:
    stream = explosion_through_time()
    assert stream.profile is not None
    stream.stats["grad_norm"][115:120, 1] *= 4
    stream.profile[115:120] = stream.profile[120]
    assert tell(stream).signs("explosion-through-time") == {
        "grows-through-time": 4.0,
        "recurrent-layer-first": 2.0,
    }


def test_a_recurrent_net_that_is_calm_through_time_does_not_explode_through_it() -> None:
    assert "explosion-through-time" not in through_time_parts(explosion_through_time(beta=0.1))


def test_a_profile_without_a_recurrent_layer_gets_no_new_matrix() -> None:
    stream = explosion_through_time()
    stream.layers = LayerTable(tuple(Layer(name) for name in "abc"))
    assert list(tell(stream).advised("explosion-through-time")) == [
        "clip_grad_norm",
        "truncate_bptt",
        "change_model",
    ]


def test_one_layer_is_damped_alone() -> None:
    told = tell(one_layer())
    assert told.advised("one-layer")["shrink_layer_grad"] == {
        "layer": "embed",
        "alpha": 0.04,
        "steps": 500,
        "ramp_steps": 500,
    }
    assert told.parts["one-layer"].layers == ("embed",)
    assert told.signs("one-layer") == {"first-mover": 3.0, "large-share": 2.0, "embedding": 2.0}


def test_one_layer_is_not_blamed_when_half_of_them_move() -> None:
    stream = healthy(300, layers=LANGUAGE)
    stream.stats["grad_norm"][200, :3] *= 10
    assert "one-layer" not in tell(stream).parts


def test_vanishing_gradients_need_another_model() -> None:
    told = tell(vanishing_gradients())
    assert list(told.parts) == ["vanishing-gradients"]
    assert list(told.advised("vanishing-gradients")) == ["change_model", "checkpoint_now"]
    part = told.parts["vanishing-gradients"]
    assert (part.opened_step, part.layers[0], part.actionable) == (31, "fc0", False)


def test_vanishing_updates_ask_for_a_higher_rate() -> None:
    stream = vanishing_gradients()
    stream.update_ratio(0, 1e-8)
    advised = tell(stream).advised("vanishing-gradients")
    assert advised["scale_lr"] == {"factor": 10.0, "lr": pytest.approx(1e-2)}


def test_gradients_that_vanish_at_the_end_of_the_schedule_are_no_fault_of_the_net() -> None:
    stream = vanishing_gradients()
    stream.scalars["lr"][20:] = 1e-7
    assert "vanishing-gradients" not in tell(stream).parts


def test_a_healthy_relu_net_does_not_vanish() -> None:
    assert tell(healthy(200, layers=mlp(10))).parts == {}


def test_dead_units_get_an_activation_that_cannot_die() -> None:
    told = tell(dead_units())
    assert told.signs("dead-units") == {"no-gradient": 3.0, "relu": 1.0}
    assert list(told.advised("dead-units")) == ["change_model", "scale_lr", "checkpoint_now"]
    part = told.parts["dead-units"]
    assert (part.title, part.actionable) == ("Units are dead in fc2 (step 111)", False)


def test_units_die_without_relu_as_well_but_it_is_not_known_why() -> None:
    stream = dead_units()
    stream.layers = mlp(6, activation="tanh")
    assert tell(stream).signs("dead-units") == {"no-gradient": 3.0}


def test_large_logits_are_growing_weights_or_one_layer() -> None:
    stream = healthy(300)
    stream.scalars["attention_logit_max"] = np.where(np.arange(300) < 200, 20.0, 2e4)
    part = tell(stream).parts["weights-growing"]
    assert (part.rule, part.actionable) == ("attention-logit", True)
    assert [one.name for one in part.causes[0].evidence] == ["logits-large"]


def test_norm_layers_without_a_gradient_tell_that_normalisation_is_gone() -> None:
    layers = mlp().layers
    stream = healthy(
        300, layers=LayerTable((*layers[:-1], Layer("norm", "norm", 4, (64,)), layers[-1]))
    )
    stream.multiply_norms(200, 300.0)
    stream.multiply_loss(200, 100.0)
    assert "norms-gone" not in tell(stream).signs("data-outlier")
    stream.stats["grad_norm"][200:, -2] = MISSING32
    assert tell(stream).signs("missing-normalisation") == {"norms-gone": 10.0}
