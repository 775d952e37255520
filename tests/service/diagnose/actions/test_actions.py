"""The numbers and the code of each action."""

import ast
import math
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwatch_service.diagnose.actions import (
    gradient,
    guard,
    job,
    model,
    optimizer,
    precision,
    rate,
    rewind,
    weights,
)
from gradwatch_service.diagnose.causes import catalogue
from gradwatch_service.diagnose.proposal import Proposal
from gradwatch_service.diagnose.rates import Rates
from gradwatch_service.diagnose.situation import Mover
from gradwatch_service.domain import Facts, Guard, Severity
from tests.service.diagnose.situations import held, situation
from tests.service.diagnose.streams import mlp

EXPLAINED = frozenset[str]().union(*(cause.explains for cause in catalogue()))
MOVER = Mover("fc1", "linear", 0.6, hot=True)
NUMPY = Facts(framework="numpy")
KNOWN = situation(guard=Guard(2.0, 40.0), rates=Rates(recent=np.array([0.1])), uw=0.05)


@pytest.mark.parametrize(
    ("uw", "factor"), [(None, 0.5), (0.0, 0.5), (0.01, 0.5), (0.05, 0.2), (0.1, 0.1), (9.0, 1 / 64)]
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
    proposal = precision.lower_loss_scale(situation(largest=largest, loss_scale=scale))
    assert proposal.params == {"loss_scale": expected}
    assert (largest or 0.0) * expected < 65504


def test_a_step_is_skipped_over_the_guards_limit_if_there_is_one() -> None:
    assert "whose norm is over 40" in guard.skip_step(KNOWN).text
    unknown = guard.skip_step(situation())
    assert unknown.params["skip_above"] is None
    assert "over" not in unknown.text.split(",")[0]


def test_a_rollback_takes_the_newest_healthy_checkpoint_100_reports_before_the_onset() -> None:
    s = situation(step=500, checkpoints=(200, 300, 450))
    assert rewind.rollback(s).params == {
        "to_step": 300,
        "latest_step": 400,
        "skip_data_to_step": 700,
    }


def test_a_rollback_to_no_known_checkpoint_says_how_old_it_has_to_be() -> None:
    assert rewind.rollback(situation(step=50)).params["to_step"] is None
    assert rewind.rollback(situation(step=50)).params["latest_step"] == 0
    late = rewind.rollback(situation(step=500, increment=10, checkpoints=(0,)))
    assert late.title == "Go back to the checkpoint at step 0"


def test_one_bad_step_is_one_step() -> None:
    since = held("gradient-spike", opened=5)
    assert rewind.skip_batches(situation(since)).title == "Leave out the data of step 5"
    three = situation(since, high_reports=3, increment=10)
    assert rewind.skip_batches(three).title == "Leave out the data of steps 5 to 25"


def test_the_worst_layers_come_first_in_a_new_initialisation() -> None:
    proposal = weights.reinit_layers(situation(), {"a": 2.0, "b": 4.0})
    assert proposal.params == {"divide_by": {"b": 4.0, "a": 2.0}}
    assert "(b by 4, a by 2)" in proposal.text


def test_residual_branches_are_scaled_by_the_number_of_weight_matrices() -> None:
    assert model.residual_scale(situation(layers=mlp(8))) == 0.25


def test_advice_is_for_the_next_report_and_void_after_256() -> None:
    s = situation(step=500, increment=10)
    advice = gradient.clip_grad_norm(s).advice("some-cause", 0.9, s, ("sign",))
    assert (advice.apply_at_step, advice.expires_step) == (510, 500 + 2560)
    assert (advice.cause, advice.confidence, advice.evidence) == ("some-cause", 0.9, ("sign",))


def proposals(framework: str) -> list[Proposal]:
    s = situation(guard=Guard(2.0, 40.0), facts=Facts(framework=framework))
    return [
        rate.scale_lr(s, 0.5),
        rate.scale_lr(s, 10.0),
        rate.cap_lr(s, 0.1),
        rate.warmup_lr(s, 100, 0.1, "from the start"),
        gradient.clip_grad_norm(s),
        gradient.shrink_layer_grad(s, MOVER),
        gradient.truncate_bptt(s, 20),
        guard.arm_guard(s),
        guard.skip_step(s),
        job.check_input(s),
        job.check_job(s),
        job.checkpoint_now(s),
        job.quarantine_rank(s, "rank3"),
        job.stop(s),
        model.bound_weights(s),
        model.normalise(s, "depth-explosion"),
        model.revive(s),
        model.unsaturate(s, "depth-vanishing"),
        model.use_gated_cell(s),
        optimizer.reset_moments(s),
        optimizer.set_adam(s),
        optimizer.set_weight_decay(s),
        precision.keep_float32(s),
        precision.lower_loss_scale(s),
        precision.raise_loss_scale(s),
        precision.use_bfloat16(s),
        weights.reinit_layers(s, {"fc1": 2.0}),
        weights.reinit_recurrent(s, "W_hh"),
        rewind.rollback(s),
        rewind.skip_batches(s),
    ]


METRICS = {"update_ratio", "grad_norm", "loss", "found_inf", "loss_scale"}


@pytest.mark.parametrize("proposal", proposals(""), ids=lambda one: one.title)
def test_what_must_hold_afterwards_is_a_metric_with_a_number_or_the_absence_of_a_rule(
    proposal: Proposal,
) -> None:
    metric, op, value = (proposal.verify[key] for key in ("metric", "op", "value"))
    if op == "absent":
        assert (metric in EXPLAINED, value) == (True, None)
    else:
        assert metric in METRICS
        assert op in {"<", "<=", ">", "=="}
        assert isinstance(value, float)


def test_actions_are_of_the_class_that_says_who_decides() -> None:
    classes = {one.action: one.klass for one in proposals("")}
    assert {klass: {x for x in classes if classes[x] == klass} for klass in (1, 2, 3, 4)} == {
        1: {"arm_guard", "clip_grad_norm", "set_loss_scale", "skip_step"},
        2: {"cap_lr", "scale_lr", "set_adam", "shrink_layer_grad", "truncate_bptt", "warmup_lr"},
        3: {"checkpoint_now", "reinit_layers", "reset_moments", "rollback", "skip_batches"},
        4: {
            "change_model",
            "check_input",
            "check_job",
            "quarantine_rank",
            "set_weight_decay",
            "stop",
            "switch_precision",
        },
    }


@pytest.mark.parametrize("framework", ["", "pytorch", "lightning", "numpy", "jax"])
def test_the_code_is_valid_python_for_the_framework_of_the_run(framework: str) -> None:
    for proposal in proposals(framework):
        lines = proposal.code.splitlines()
        body = "\n".join(f"    {line}" for line in lines)
        ast.parse(f"while True:\n{body}")
    joined = "\n".join(proposal.code for proposal in proposals(framework))
    assert ("torch." in joined) is (framework in {"", "pytorch", "lightning"})


@pytest.mark.parametrize(
    ("uw", "factor"), [(None, 10.0), (0.0, 10.0), (3e-5, 10.0), (1e-9, 1000.0), (2e-4, 2.0)]
)
def test_the_rate_is_raised_to_an_update_ratio_that_learns_within_bounds(
    uw: float | None, factor: float
) -> None:
    assert rate.raising_factor(uw) == pytest.approx(factor)


def test_a_lower_rate_must_bring_the_updates_down_or_where_they_are_small_end_the_finding() -> None:
    huge = situation(uw=0.3)
    assert rate.scale_lr(huge, 0.1).verify["value"] == pytest.approx(0.045)
    assert rate.scale_lr(situation(uw=0.03), 0.3).verify["value"] == pytest.approx(0.0135)
    assert rate.scale_lr(situation(uw=0.012), 0.5).verify["value"] == 0.01
    small = situation(held("gradient-growth"), held("loss-divergence", Severity.ERROR), uw=0.001)
    assert rate.scale_lr(small, 0.5).verify["metric"] == "loss-divergence"
    assert rate.scale_lr(situation(), 0.5).verify["metric"] == "update_ratio"


def test_a_layer_is_damped_for_500_steps_and_ramped_back_over_500() -> None:
    assert gradient.shrink_layer_grad(situation(), MOVER).params == {
        "layer": "fc1",
        "alpha": 0.1,
        "steps": 500,
        "ramp_steps": 500,
    }


@pytest.mark.parametrize(("excess", "alpha"), [(3.0, 0.1), (80.0, 0.013), (1e9, 1e-3)])
def test_a_layer_is_damped_by_as_much_as_it_is_too_large(excess: float, alpha: float) -> None:
    damped = gradient.shrink_layer_grad(situation(), replace(MOVER, excess=excess))
    assert damped.params["alpha"] == alpha


def test_the_loss_scale_is_raised_as_far_as_the_largest_gradient_allows_else_16_times() -> None:
    known = situation(largest=2.0**-10, loss_scale=1.0)
    assert precision.raise_loss_scale(known).params == {"loss_scale": 2.0**25}
    assert precision.raise_loss_scale(situation(loss_scale=8.0)).params == {"loss_scale": 128.0}


@pytest.mark.parametrize(
    ("eps", "numbers"),
    [(None, {"beta2": 0.95}), (1e-8, {"beta2": 0.95}), (1e-4, {"beta2": 0.95, "eps": 1e-8})],
)
def test_adam_gets_a_shorter_memory_and_a_small_epsilon(
    eps: float | None, numbers: dict[str, float]
) -> None:
    s = situation(facts=Facts(extra={} if eps is None else {"eps": eps}))
    proposal = optimizer.set_adam(s)
    assert proposal.params == numbers
    assert ("1e-08" in proposal.code) is ("eps" in numbers)


@pytest.mark.parametrize(("now", "then"), [(None, 0.01), (0.0, 0.01), (0.1, 0.3), ("x", 0.01)])
def test_the_weight_decay_is_tripled_and_at_least_a_hundredth(
    now: float | str | None, then: float
) -> None:
    s = situation(facts=Facts(extra={"weight_decay": now}))
    assert optimizer.set_weight_decay(s).params["weight_decay"] == pytest.approx(then)


def test_an_unknown_rank_is_described() -> None:
    assert job.quarantine_rank(situation(), "rank3").title == "Take rank3 out of the job"
    unknown = job.quarantine_rank(situation(), None)
    assert (unknown.params["writer"], "the rank that differs" in unknown.title) == (None, True)


def executed(code: str, folder: Path, names: dict[str, Any]) -> dict[str, Any]:
    """The names after the advised code has run with these."""
    (folder / "advice.py").write_text(code)
    return runpy.run_path(str(folder / "advice.py"), names)


def test_the_numpy_code_for_clipping_clips(tmp_path: Path) -> None:
    names = {"np": np, "gradients": [np.full(4, 3.0), np.full(4, 4.0)]}
    code = gradient.clip_grad_norm(situation(guard=Guard(2.0), facts=NUMPY)).code
    clipped = executed(code, tmp_path, names)["gradients"]
    assert math.sqrt(sum(float((g**2).sum()) for g in clipped)) == pytest.approx(2.0)


def test_the_numpy_code_for_moments_forgets_them(tmp_path: Path) -> None:
    names = {"first_moment": {"w": np.ones(3)}, "second_moment": {"w": np.ones(3)}}
    done = executed(optimizer.reset_moments(situation(facts=NUMPY)).code, tmp_path, names)
    assert not done["first_moment"]["w"].any()
    assert not done["second_moment"]["w"].any()


def test_the_numpy_code_for_a_recurrent_matrix_gives_its_radius(tmp_path: Path) -> None:
    names = {"np": np, "W": np.ones((8, 8))}
    code = weights.reinit_recurrent(situation(facts=NUMPY), "W").code
    assert np.linalg.svd(executed(code, tmp_path, names)["W"])[1] == pytest.approx(np.full(8, 0.95))
