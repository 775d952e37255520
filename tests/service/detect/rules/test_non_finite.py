"""non-finite."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32, LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import MLP, Scenario, steady


def broken(
    stat: str, columns: list[int], *, rows: slice = slice(10, 11), value: float = np.nan
) -> Scenario:
    run = steady(80)
    table = run.frame.layers.get(stat, np.zeros((80, len(MLP)), np.float32)).copy()
    table[rows, columns] = value
    return run.stat(stat, table)


def lost(run: Scenario, name: str, rows: slice = slice(10, 11), value: float = np.nan) -> Scenario:
    values = run.frame.scalars[name].copy()
    values[rows] = value
    return run.scalar(name, values)


def text(found: Watched) -> str:
    return found.first("non-finite").evidence[0].text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_gradient_is_an_error_that_ends_after_32_clean_reports(value: float) -> None:
    found = watch(broken("grad_norm", [2], value=value))
    assert found.of("non-finite") == [(10, "opened", "error"), (42, "cleared", "error")]


@pytest.mark.parametrize("stat", ["grad_max", "grad_rms", "bias_grad_norm", "act_grad_norm"])
def test_every_gradient_statistic_counts(stat: str) -> None:
    assert watch(broken(stat, [2])).of("non-finite")[0] == (10, "opened", "error")


def test_a_count_of_non_finite_elements_counts() -> None:
    found = watch(broken("grad_nonfinite", [3], value=17.0))
    assert found.of("non-finite")[0] == (10, "opened", "error")
    assert found.first("non-finite").layers == ("3.weight",)


@pytest.mark.parametrize("stat", ["weight_norm", "update_norm"])
def test_weights_are_critical(stat: str) -> None:
    found = watch(broken(stat, [4, 1]))
    assert found.of("non-finite")[0] == (10, "opened", "critical")
    assert found.first("non-finite").layers == ("1.weight", "4.weight")
    assert text(found) == (
        "weights are no longer finite: first in 1.weight, in 2 layers altogether; "
        "last finite layer 0.weight"
    )


def test_a_count_of_non_finite_weights_is_critical_and_names_them() -> None:
    found = watch(broken("weight_nonfinite", [4, 1], value=3.0))
    assert found.of("non-finite")[0] == (10, "opened", "critical")
    assert found.first("non-finite").layers == ("1.weight", "4.weight")
    assert found.first("non-finite").evidence[0].name == "non-finite-weights"
    assert watch(broken("weight_nonfinite", [4], value=0.0)).of("non-finite") == []


def test_weights_are_critical_even_if_the_loss_scaler_skipped_the_step() -> None:
    run = broken("weight_nonfinite", [4], value=1.0).scalar("found_inf", 1.0)
    assert watch(run).of("non-finite")[1] == (10, "worsened", "critical")


def test_steps_that_the_loss_scaler_skipped_are_no_four_in_a_row() -> None:
    skipped = np.zeros(80)
    skipped[10:30] = 1.0
    run = broken("grad_norm", [2], rows=slice(10, 30)).scalar("found_inf", skipped)
    assert {severity for _, _, severity in watch(run).of("non-finite")} == {"info"}


def test_four_in_a_row_are_critical() -> None:
    found = watch(broken("grad_norm", [2], rows=slice(10, 14)))
    assert found.of("non-finite")[:2] == [(10, "opened", "error"), (13, "worsened", "critical")]
    assert len(watch(broken("grad_norm", [2], rows=slice(10, 13))).of("non-finite")) == 2


def test_with_a_finite_loss_the_break_is_nearest_the_loss() -> None:
    found = watch(broken("grad_norm", [0, 1, 2]))
    assert found.first("non-finite").evidence[0].name == "non-finite-backward"
    assert found.first("non-finite").layers == ("2.weight", "1.weight", "0.weight")
    assert text(found) == (
        "the loss is finite, the gradient is not: first in 2.weight, in 3 layers altogether; "
        "last finite layer 3.weight"
    )


def test_with_a_lost_loss_it_was_the_forward_pass() -> None:
    found = watch(lost(broken("grad_norm", list(range(8))), "loss"))
    assert found.first("non-finite").evidence[0].name == "non-finite-forward"
    assert text(found).endswith("first in 0.weight, in 8 layers altogether")
    alone = watch(lost(steady(80, layers=LayerTable()), "loss"))
    assert text(alone) == "the loss itself is not finite (forward pass)"


def test_a_global_norm_alone_is_enough() -> None:
    found = watch(lost(steady(80, layers=LayerTable()), "grad_norm", value=np.inf))
    assert found.of("non-finite")[0] == (10, "opened", "error")
    assert text(found) == "the loss is finite, the gradient is not"


def test_what_the_loss_scaler_skipped_is_information_unless_the_loss_is_lost() -> None:
    skipped = np.zeros(80)
    skipped[10:20] = 1.0
    run = broken("grad_norm", [2], rows=slice(10, 20), value=np.inf).scalar("found_inf", skipped)
    assert watch(run).of("non-finite") == [(10, "opened", "info"), (51, "cleared", "info")]
    worse = watch(lost(run, "loss", slice(12, 20)))
    assert [severity for _, _, severity in worse.of("non-finite")[:3]] == [
        "info",
        "error",
        "critical",
    ]


def test_a_skipped_step_without_any_other_sign_is_information() -> None:
    skipped = np.zeros(80)
    skipped[10] = 1.0
    found = watch(steady(80).scalar("found_inf", skipped))
    assert found.of("non-finite")[0] == (10, "opened", "info")
    assert text(found) == "the loss scaler found an infinite gradient"


def test_what_was_not_measured_is_not_broken() -> None:
    assert watch(steady(80).without(range(5, 60))).findings == []


def test_only_layers_that_were_measured_are_called_finite() -> None:
    run = broken("grad_norm", [2])
    table = run.frame.layers["grad_norm"].copy()
    table[:, 3] = MISSING32
    found = watch(replace(run, frame=replace(run.frame, layers={"grad_norm": table})))
    assert text(found).endswith("last finite layer 4.weight")
