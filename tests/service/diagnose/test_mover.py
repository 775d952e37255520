"""Who moved first."""

import pytest

from gradwatch_service.diagnose.situation import Mover
from tests.service.diagnose.faults import (
    bad_initialisation,
    explosion_through_time,
    learning_rate_too_high,
    non_finite_input,
    one_layer,
    spikes,
    vanishing_gradients,
)
from tests.service.diagnose.streams import Stream, healthy, mlp, tell


def layers(stream: Stream, cause: str) -> tuple[str, ...]:
    return tell(stream).parts[cause].layers


def test_the_recurrent_layer_of_an_explosion_through_time() -> None:
    assert layers(explosion_through_time(), "explosion-through-time")[0] == "W_hh"


def test_the_layer_that_has_been_hot_for_longest() -> None:
    stream = spikes(200, height=30.0)
    stream.stats["grad_norm"][197:200, 3] *= 3
    assert layers(stream, "data-outlier")[:2] == ("fc3", "fc0")


def test_of_layers_hot_since_the_same_report_the_one_nearest_the_input() -> None:
    assert layers(spikes(200), "data-outlier") == ("fc0", "fc1", "fc2", "fc3", "fc4", "fc5")
    deep = spikes(200)
    deep.layers = mlp(6)
    deep.layers = type(deep.layers)(tuple(reversed(deep.layers.layers)))
    assert layers(deep, "data-outlier")[0] == "fc0"


def test_before_there_are_baselines_the_layer_that_rose_most() -> None:
    stream = healthy(30)
    stream.multiply_norms(20, 300.0)
    stream.stats["grad_norm"][20:, 4] *= 4
    stream.scalars["lr"][:] = 1.0
    assert layers(stream, "learning-rate-too-high")[0] == "fc4"


def test_else_the_layer_a_finding_names() -> None:
    assert layers(vanishing_gradients(), "vanishing-gradients")[0] == "fc0"
    assert layers(bad_initialisation(), "bad-initialisation")[0] == "fc0"
    assert layers(non_finite_input(), "non-finite-input")[0] == "fc0"


def test_nobody_when_no_layer_stands_out() -> None:
    stream = healthy(300)
    stream.update_ratio(100, 0.06)
    assert layers(stream, "learning-rate-too-high") == ()
    stream.stats = {}
    stream.scalars["grad_norm"] = stream.scalars["loss"].copy()
    stream.scalars["grad_norm"][200] *= 50
    assert layers(stream, "data-outlier") == ()


def test_at_most_eight_layers_are_listed() -> None:
    stream = healthy(300, layers=mlp(20))
    stream.multiply_norms(200, 30.0, 201)
    assert layers(stream, "data-outlier") == tuple(f"fc{i}" for i in range(8))


@pytest.mark.parametrize("columns", [1, 2])
def test_the_share_is_that_of_the_squared_gradient(columns: int) -> None:
    told = tell(one_layer(columns).until(201))
    share = next(f for f in told.parts["one-layer"].evidence if f.name == "large-share")
    assert share.text == f"embed carries {99 if columns == 1 else 50}% of the squared gradient"


def test_a_mover_is_a_value() -> None:
    assert Mover("W", "linear", None, False) == Mover("W", "linear", None, False)
    assert tell(learning_rate_too_high()).parts["data-outlier"].layers[0] == "fc0"
