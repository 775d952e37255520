from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

from gradwatch.integrations.module_tree import activation_of, describe, kind_of  # noqa: E402
from gradwatch.layers import Layer  # noqa: E402

pytestmark = pytest.mark.torch


def layers(model: Any) -> dict[str, Layer]:
    return {item.layer.name: item.layer for item in describe(model)}


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.Linear(2, 2), "linear"),
        (nn.Bilinear(2, 2, 2), "linear"),
        (nn.Conv2d(1, 1, 1), "conv"),
        (nn.ConvTranspose1d(1, 1, 1), "conv"),
        (nn.LSTM(2, 2), "recurrent"),
        (nn.GRUCell(2, 2), "recurrent"),
        (nn.EmbeddingBag(2, 2), "embedding"),
        (nn.BatchNorm1d(2), "norm"),
        (nn.RMSNorm(2), "norm"),
        (nn.MultiheadAttention(2, 1), "attention"),
        (type("MyLinear", (nn.Linear,), {})(2, 2), "linear"),
        (type("NormalMixture", (nn.Module,), {})(), ""),
        (nn.ReLU(), ""),
    ],
)
def test_a_module_is_known_by_its_class(module: Any, kind: str) -> None:
    assert kind_of(module) == kind


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.ReLU(), "relu"),
        (nn.GELU(), "gelu"),
        (nn.SiLU(), "silu"),
        (nn.LeakyReLU(), "leakyrelu"),
        (type("Mine", (nn.Tanh,), {})(), "tanh"),
        (nn.MultiheadAttention(2, 1), ""),
        (nn.Linear(2, 2), ""),
    ],
)
def test_an_activation_is_named_in_lower_case(module: Any, name: str) -> None:
    assert activation_of(module) == name


def test_a_sequence_shows_activations_and_normalisation() -> None:
    model = nn.Sequential(
        nn.Linear(4, 8),
        nn.LayerNorm(8),
        nn.Dropout(0.1),
        nn.GELU(),
        nn.Linear(8, 8),
        nn.Linear(8, 8),
        nn.ReLU(),
        nn.Linear(8, 2),
    )
    found = layers(model)
    assert found["0.weight"] == Layer(
        "0.weight", "linear", 0, (8, 4), "float32", activation="gelu", normalised=True
    )
    assert found["0.bias"] == Layer("0.bias", "bias", 0, (8,))
    assert (found["1.weight"].kind, found["1.bias"].kind) == ("norm", "norm")
    assert (found["4.weight"].activation, found["4.weight"].normalised) == ("", True)
    assert (found["5.weight"].activation, found["5.weight"].normalised) == ("relu", False)
    assert (found["7.weight"].kind, found["7.weight"].normalised) == ("head", False)
    assert [layer.depth for layer in found.values()] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_stacked_recurrent_layers_have_depths_of_their_own() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.RNN(3, 4, 2, nonlinearity="relu"))
    found = layers(model)
    assert found["0.weight"].kind == "embedding"
    recurrent = {name: layer for name, layer in found.items() if layer.kind == "recurrent"}
    assert {name: layer.depth for name, layer in recurrent.items()} == {
        "1.weight_ih_l0": 1,
        "1.weight_hh_l0": 1,
        "1.weight_ih_l1": 2,
        "1.weight_hh_l1": 2,
    }
    assert {layer.activation for layer in recurrent.values()} == {"relu"}
    assert found["1.bias_hh_l1"].kind == "bias"


def test_a_transformer_block_is_normalised_and_its_attention_known() -> None:
    found = layers(nn.TransformerEncoderLayer(8, 2, 16))
    assert found["self_attn.in_proj_weight"].kind == "attention"
    assert found["self_attn.out_proj.weight"].kind == "attention"
    assert found["self_attn.in_proj_bias"].kind == "bias"
    assert found["linear1.weight"].normalised is True
    assert found["linear2.weight"].kind == "head"


def test_what_is_not_visible_is_not_claimed() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.scale = nn.Parameter(torch.ones(2))
            self.table = nn.Parameter(torch.ones(2, 2))

    found = layers(Block())
    assert (found["first.weight"].activation, found["first.weight"].normalised) == ("", None)
    assert (found["scale"].kind, found["table"].kind) == ("", "")
    assert found["first.weight"].residual is None


def test_a_single_linear_layer_is_no_head() -> None:
    assert layers(nn.Linear(2, 2))["weight"].kind == "linear"


def test_the_type_of_the_numbers_is_told() -> None:
    assert layers(nn.Linear(2, 2).bfloat16())["weight"].dtype == "bfloat16"


def test_a_compiled_module_is_described_as_the_one_inside() -> None:
    torch = pytest.importorskip("torch")
    inside = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    whole = describe(torch.compile(inside, backend="eager"))
    assert whole == describe(inside)
    inside[0] = torch.compile(inside[0], backend="eager")
    assert [item.layer.name for item in describe(inside)] == [item.layer.name for item in whole]
