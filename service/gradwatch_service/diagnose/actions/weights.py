"""Actions on the weights and the model: initialise anew, change architecture or precision."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gradwatch_service.diagnose.proposal import Proposal, check, code_for
from gradwatch_service.diagnose.situation import Situation

SPECTRAL_RADIUS = 0.95
FIRST = 32
MAX_LISTED = 256
_RESTART = "These weights are lost; go on from a checkpoint if one exists."


def reinit_layers(s: Situation, gains: Mapping[str, float]) -> Proposal:
    """Divide the weights of each layer by its gain; sensible only at the start of a run."""
    worst = sorted(gains, key=lambda name: -gains[name])[:MAX_LISTED]
    divisors = {name: round(gains[name], 4) for name in worst}
    shown = ", ".join(f"{name} by {divisors[name]:.3g}" for name in worst[:4])
    listed = "{" + ", ".join(f'"{name}": {divisors[name]:.4g}' for name in worst) + "}"
    torch = (
        f"divide_by = {listed}\n"
        "with torch.no_grad():\n"
        "    for name, parameter in model.named_parameters():\n"
        "        if name in divide_by:\n"
        "            parameter.div_(divide_by[name])"
    )
    plain = f"for name, factor in {listed}.items():\n    weights[name] /= factor"
    return Proposal(
        action="reinit_layers",
        klass=3,
        title="Scale the initial weights down",
        text=(
            f"Divide the initial weights by their gain ({shown or 'see the table'}) and start "
            "again. Lowering the learning rate alone repairs none of these runs."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"divide_by": divisors},
        undo=_RESTART,
        verify=check("init-gain-profile", "absent", None),
        preconditions=(f"fewer than {FIRST} steps done, or restart the run",),
    )


def reinit_recurrent(s: Situation, layer: str) -> Proposal:
    """Give a recurrent matrix the spectral radius .95: orthogonal, scaled."""
    torch = (
        "with torch.no_grad():\n"
        f'    weight = dict(model.named_parameters())["{layer}"]\n'
        "    torch.nn.init.orthogonal_(weight)\n"
        f"    weight.mul_({SPECTRAL_RADIUS})"
    )
    plain = (
        "q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal(W.shape))\n"
        f"W[:] = {SPECTRAL_RADIUS} * q   # {layer}"
    )
    return Proposal(
        action="reinit_layers",
        klass=3,
        title=f"Initialise {layer} orthogonally with radius {SPECTRAL_RADIUS}",
        text=(
            f"Start {layer} as an orthogonal matrix times {SPECTRAL_RADIUS}: its powers then "
            "neither grow nor vanish quickly."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"layers": [layer], "method": "orthogonal", "spectral_radius": SPECTRAL_RADIUS},
        undo=_RESTART,
        verify=check("explosion-through-time", "absent", None),
        preconditions=(f"fewer than {FIRST} steps done, or restart the run",),
    )


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
        verify=check(rule, "absent", None),
        preconditions=("needs a new run",),
    )


def use_bfloat16(s: Situation) -> Proposal:
    """Train in bfloat16, which has the range of float32."""
    torch = 'with torch.autocast("cuda", dtype=torch.bfloat16):   # no GradScaler needed\n    ...'
    return Proposal(
        action="switch_precision",
        klass=4,
        title="Train in bfloat16",
        text=(
            "bfloat16 has the range of float32, so gradients do not overflow and no loss scale is "
            "needed. It needs hardware that supports it."
        ),
        code=code_for(s, torch=torch, plain='compute_dtype = "bfloat16"'),
        params={"dtype": "bfloat16"},
        undo="Go back to float16 with a loss scaler.",
        verify=check("found_inf", "==", 0.0),
        preconditions=("the hardware supports bfloat16",),
    )
