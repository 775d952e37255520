"""The numbers and the code of each action."""

import ast
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwatch_service.diagnose.actions import gradient, rate, rewind, weights
from gradwatch_service.diagnose.history import Mark
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.rates import Rates
from gradwatch_service.domain import Facts, Guard
from tests.service.diagnose.situations import held, situation
from tests.service.diagnose.streams import mlp

NUMPY = Facts(framework="numpy")
KNOWN = situation(guard=Guard(2.0, 40.0), rates=Rates(recent=np.array([0.1])), uw=0.05)


@pytest.mark.parametrize(
    ("uw", "factor"), [(None, 0.5), (0.0, 0.5), (0.01, 0.5), (0.05, 0.2), (0.1, 0.1), (9.0, 0.1)]
)
def test_the_rate_is_scaled_to_an_update_ratio_of_one_percent_within_bounds(
    uw: float | None, factor: float
) -> None:
    assert rate.reducing_factor(uw) == pytest.approx(factor)


def test_scaling_tells_the_old_and_the_new_rate() -> None:
    proposal = rate.scale_lr(KNOWN, 0.2)
    assert proposal.params == {"factor": 0.2, "lr": pytest.approx(0.02)}
    assert "from 0.1 to 0.02" in proposal.text
    assert rate.scale_lr(situation(), 0.2).params["lr"] is None


@pytest.mark.parametrize(
    ("beta", "steps"), [(None, None), (0.0, None), (-0.1, None), (0.3, 20), (2.0, 3), (7.0, 1)]
)
def test_the_backward_pass_is_cut_where_it_has_grown_by_six_bits(
    beta: float | None, steps: int | None
) -> None:
    assert gradient.truncation(beta) == steps


def test_the_clip_limit_is_that_of_the_guard_else_the_usual_norm_else_one() -> None:
    assert gradient.clip_grad_norm(KNOWN).params == {"max_norm": 2.0}
    assert gradient.clip_grad_norm(situation(normal=0.7)).params == {"max_norm": 0.7}
    assert gradient.clip_grad_norm(situation(normal=None)).params == {"max_norm": 1.0}


@pytest.mark.parametrize(
    ("largest", "scale", "expected"),
    [(1.0, None, 2.0**15), (100.0, None, 2.0**8), (1e-3, 1.0, 2.0**24), (None, 1024.0, 64.0)],
)
def test_the_loss_scale_leaves_a_factor_of_two(
    largest: float | None, scale: float | None, expected: float
) -> None:
    proposal = gradient.set_loss_scale(situation(largest=largest, loss_scale=scale))
    assert proposal.params == {"loss_scale": expected}
    assert (largest or 0.0) * expected < 65504


def test_a_step_is_skipped_over_the_guards_limit_if_there_is_one() -> None:
    assert "whose norm is over 40" in gradient.skip_step(KNOWN).text
    unknown = gradient.skip_step(situation())
    assert unknown.params["skip_above"] is None
    assert "over" not in unknown.text.split(",")[0]


def test_a_rollback_takes_the_newest_checkpoint_100_reports_before_the_onset() -> None:
    marks = tuple(Mark(kind, step) for kind, step in [("checkpoint", 300), ("phase", 380)])
    s = situation(step=500, increment=1, marks=(*marks, Mark("checkpoint", 450)))
    assert rewind.rollback(s).params == {
        "to_step": 300,
        "latest_step": 400,
        "skip_data_to_step": 700,
    }
    assert rewind.rollback(situation(step=50)).params["latest_step"] == 0


def test_one_bad_step_is_one_step() -> None:
    assert rewind.skip_batches(situation(step=7)).title == "Leave out the data of step 7"
    since = situation(held("gradient-spike", opened=5), step=7)
    assert rewind.skip_batches(since).title == "Leave out the data of steps 5 to 7"


def test_the_worst_layers_come_first_in_a_new_initialisation() -> None:
    proposal = weights.reinit_layers(situation(), {"a": 2.0, "b": 4.0})
    assert proposal.params == {"divide_by": {"b": 4.0, "a": 2.0}}
    assert "(b by 4, a by 2)" in proposal.text


def test_residual_branches_are_scaled_by_the_number_of_weight_matrices() -> None:
    assert weights.residual_scale(situation(layers=mlp(8))) == 0.25


def test_advice_is_for_the_next_report_and_void_after_256() -> None:
    s = situation(step=500, increment=10)
    advice = gradient.clip_grad_norm(s).advice("some-cause", 0.9, s, ("sign",))
    assert (advice.apply_at_step, advice.expires_step) == (510, 500 + 2560)
    assert (advice.cause, advice.confidence, advice.evidence) == ("some-cause", 0.9, ("sign",))


def proposals(framework: str) -> list[Proposal]:
    s = situation(guard=Guard(2.0, 40.0), facts=Facts(framework=framework))
    return [
        rate.scale_lr(s, 0.5),
        rate.cap_lr(s, 0.1),
        rate.warmup_lr(s, 100, 0.1, "from the start"),
        gradient.clip_grad_norm(s),
        gradient.skip_step(s),
        gradient.shrink_layer_grad(s, "fc1"),
        gradient.truncate_bptt(s, 20),
        gradient.set_loss_scale(s),
        weights.reinit_layers(s, {"fc1": 2.0}),
        weights.reinit_recurrent(s, "W_hh"),
        weights.use_gated_cell(s),
        weights.normalise(s, "depth-explosion"),
        weights.unsaturate(s, "depth-vanishing"),
        weights.use_bfloat16(s),
        rewind.rollback(s),
        rewind.skip_batches(s),
        rewind.check_input(s),
    ]


@pytest.mark.parametrize("framework", ["", "pytorch", "lightning", "numpy", "jax"])
def test_the_code_is_valid_python_for_the_framework_of_the_run(framework: str) -> None:
    for proposal in proposals(framework):
        lines = proposal.code.splitlines()
        body = "\n".join(f"    {line}" for line in lines)
        ast.parse(f"while True:\n{body}")
    joined = "\n".join(proposal.code for proposal in proposals(framework))
    assert ("torch." in joined) is (framework in {"", "pytorch", "lightning"})


def executed(code: str, folder: Path, names: dict[str, Any]) -> dict[str, Any]:
    """The names after the advised code has run with these."""
    (folder / "advice.py").write_text(code)
    return runpy.run_path(str(folder / "advice.py"), names)


def test_the_numpy_code_for_clipping_clips(tmp_path: Path) -> None:
    names = {"np": np, "gradients": [np.full(4, 3.0), np.full(4, 4.0)]}
    code = gradient.clip_grad_norm(situation(guard=Guard(2.0), facts=NUMPY)).code
    clipped = executed(code, tmp_path, names)["gradients"]
    assert math.sqrt(sum(float((g**2).sum()) for g in clipped)) == pytest.approx(2.0)


def test_the_numpy_code_for_a_recurrent_matrix_gives_its_radius(tmp_path: Path) -> None:
    names = {"np": np, "W": np.ones((8, 8))}
    code = weights.reinit_recurrent(situation(facts=NUMPY), "W").code
    assert np.linalg.svd(executed(code, tmp_path, names)["W"])[1] == pytest.approx(np.full(8, 0.95))
