"""Changes of the architecture, for a person and a new run: gates, normalisation, activations."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradwatch_service.diagnose.proposal import Proposal, absent, code_for
from gradwatch_service.diagnose.situation import Situation


def use_gated_cell(s: Situation) -> Proposal:
    """Replace a plain recurrent cell by a GRU or LSTM."""
    torch = (
        "self.rnn = torch.nn.GRU(input_size, hidden_size, batch_first=True)   # or torch.nn.LSTM"
    )
    plain = "h = z * h + (1 - z) * np.tanh(W @ x + U @ (r * h))   # GRU: gates z and r in (0, 1)"
    return _change(
        s,
        title="Use a gated cell (GRU or LSTM)",
        text=(
            "Replace the plain recurrent cell by a GRU or an LSTM. Their gates carry the state "
            "along unchanged, so the gradient is not multiplied by the same matrix at every time "
            "step."
        ),
        code=(torch, plain),
        params={"change": "gated-cell"},
        rule="explosion-through-time",
    )


def normalise(s: Situation, rule: str) -> Proposal:
    """Add normalisation layers, and scale residual branches by 1/√(2L)."""
    scale = residual_scale(s)
    torch = (
        f"x = x + {scale:.4g} * self.block(self.norm(x))   # self.norm = torch.nn.LayerNorm(width)"
    )
    plain = (
        "normal = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-5)\n"
        f"x = x + {scale:.4g} * block(normal)"
    )
    return _change(
        s,
        title="Normalise the layers, scale the residual branches",
        text=(
            "Put a normalisation layer in front of each block and add residual connections, their "
            f"branches scaled by 1/√(2L) = {scale:.3g}. The signal then keeps its size at any "
            "depth."
        ),
        code=(torch, plain),
        params={"change": "normalisation", "residual_scale": scale},
        rule=rule,
    )


def unsaturate(s: Situation, rule: str) -> Proposal:
    """Use activations that pass the gradient on: ReLU family, normalisation, residuals, gates."""
    torch = (
        "layer = torch.nn.Sequential(torch.nn.Linear(n, m), torch.nn.LayerNorm(m), torch.nn.ReLU())"
    )
    return _change(
        s,
        title="Replace saturating activations; normalise; add residual connections",
        text=(
            "Use ReLU, GELU or SiLU instead of sigmoid or tanh, normalise the layers and add "
            "residual connections; in a recurrent net use a gated cell. Each gives the gradient a "
            "way back."
        ),
        code=(torch, "h = np.maximum(0.0, W @ x + b)   # instead of a sigmoid or tanh"),
        params={"change": "activation", "residual_scale": residual_scale(s)},
        rule=rule,
    )


def revive(s: Situation) -> Proposal:
    """Use activations that pass a gradient for every input: leaky ReLU, GELU."""
    torch = "activation = torch.nn.LeakyReLU(0.01)   # or torch.nn.GELU(), instead of torch.nn.ReLU"
    return _change(
        s,
        title="Use an activation that cannot die (leaky ReLU, GELU)",
        text=(
            "Replace ReLU by leaky ReLU or GELU in the layers named, or initialise them again "
            "with biases of zero. A ReLU whose input is negative for every sample gets no gradient "
            "and never comes back; these activations pass some gradient everywhere."
        ),
        code=(torch, "h = np.where(x > 0, x, 0.01 * x)   # instead of np.maximum(0, x)"),
        params={"change": "activation"},
        rule="dead-layer",
    )


def bound_weights(s: Situation) -> Proposal:
    """Bound what a weight matrix can do, whatever its norm: spectral or weight normalisation."""
    torch = (
        "from torch.nn.utils import parametrizations\n"
        "parametrizations.spectral_norm(layer)   # or weight_norm(layer)"
    )
    return _change(
        s,
        title="Normalise the weights (spectral or weight normalisation)",
        text=(
            "Divide each of these matrices by its largest singular value, or use weight "
            "normalisation; in attention normalise queries and keys. Growing weights then no "
            "longer make growing outputs."
        ),
        code=(torch, "W_used = W / np.linalg.norm(W, 2)   # spectral norm"),
        params={"change": "weight-normalisation"},
        rule="weight-growth",
    )


def residual_scale(s: Situation) -> float:
    """1/√(2L) for the L weight matrices of the net."""
    matrices = sum(len(layer.shape) > 1 for layer in s.layers.layers)
    return 1 / math.sqrt(2 * max(matrices, 1))


def _change(
    s: Situation,
    *,
    title: str,
    text: str,
    code: tuple[str, str],
    params: Mapping[str, str | float],
    rule: str,
) -> Proposal:
    return Proposal(
        action="change_model",
        klass=4,
        title=title,
        text=text,
        code=code_for(s, torch=code[0], plain=code[1]),
        params=dict(params),
        undo="Go back to the old model; checkpoints of the two do not mix.",
        verify=absent(rule),
        preconditions=("needs a new run",),
    )
