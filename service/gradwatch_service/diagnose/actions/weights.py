"""Actions on the weights at the start of a run: initialise them anew."""

from __future__ import annotations

from collections.abc import Mapping

from gradwatch_service.diagnose.proposal import Proposal, absent, code_for
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
        verify=absent("init-gain-profile"),
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
        verify=absent("explosion-through-time"),
        preconditions=(f"fewer than {FIRST} steps done, or restart the run",),
    )
