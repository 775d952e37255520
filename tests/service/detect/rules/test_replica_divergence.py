"""replica-divergence: to the report, only between replicas, and it names the odd one."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.detect.episodes import Finding
from gradwatch_service.domain import MISSING32, Severity
from tests.ranks import Array, jointly, replicas, struck, uneven
from tests.service.detect.watching import every, watch

RULE = "replica-divergence"


def found(norms: Array) -> list[tuple[int, str, str]]:
    return watch(jointly(grad_norm=norms)).of(RULE)


def first(norms: Array) -> Finding:
    return watch(jointly(grad_norm=norms)).first(RULE)


def test_the_second_difference_is_critical_and_32_equal_reports_end_it() -> None:
    norms = struck(replicas(200), 2, slice(100, 110), 1 + 1e-5)
    assert found(norms) == [(101, "opened", "critical"), (141, "cleared", "critical")]


def test_the_odd_rank_is_named_where_the_others_agree() -> None:
    finding = first(struck(replicas(), 2, slice(300, None), 1.001))
    fact, rank = finding.evidence
    assert finding.layers == ("r2",)
    assert (fact.layer, fact.threshold, rank.layer, rank.value) == ("r2", 1e-6, "r2", 2.0)
    assert fact.value == pytest.approx(1 - 1 / 1.001, rel=1e-3)
    assert "on r2 against" in fact.text
    assert "on 3 others" in fact.text


def test_weights_that_part_are_told_though_the_gradients_agree() -> None:
    weights = 100 + 0.01 * np.cumsum(replicas(), axis=0)
    run = jointly(grad_norm=replicas(), weight_norm=struck(weights, 2, slice(300, None), 1 + 1e-5))
    finding = watch(run).first(RULE)
    assert (finding.ordinal, finding.layers) == (301, ("r2",))
    assert "the sum of the weight norms was the same on all ranks" in finding.evidence[0].text
    assert watch(jointly(grad_norm=replicas(), weight_norm=weights)).of(RULE) == []


def test_without_a_majority_nobody_is_named() -> None:
    norms = struck(struck(replicas(), 2, slice(300, None), 1.001), 3, slice(300, None), 1.001)
    finding = first(norms)
    assert finding.layers == ()
    assert "on 4 ranks" in finding.evidence[0].text
    assert len(finding.evidence) == 1


@pytest.mark.parametrize("factor", [1 + 2e-7, 1 - 5e-7])
def test_rounding_is_no_difference(factor: float) -> None:
    assert found(struck(replicas(), 1, slice(100, None), factor)) == []


def test_a_single_difference_is_none_nor_is_one_again_much_later() -> None:
    norms = struck(struck(replicas(), 1, slice(100, 101), 2.0), 1, slice(118, 119), 2.0)
    assert found(norms) == []
    assert found(struck(norms, 1, slice(116, 117), 2.0))[0] == (116, "opened", "critical")


def test_ranks_that_never_agreed_are_no_replicas() -> None:
    assert found(uneven()) == []
    assert found(struck(replicas(), 1, slice(15, None), 2.0)) == []
    assert found(struck(replicas(), 1, slice(16, None), 2.0))[0][0] == 17


def test_norms_cut_to_a_limit_do_not_make_replicas() -> None:
    norms = np.minimum(uneven(), 0.01)
    norms[200:] = uneven()[200:]
    assert found(norms) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_on_one_rank_that_is_none_on_another_is_a_difference(value: float) -> None:
    norms = replicas()
    norms[300:, 0] = value
    finding = first(norms)
    assert (finding.ordinal, finding.severity, finding.layers) == (301, Severity.CRITICAL, ("r0",))
    assert finding.evidence[0].value == np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_all_ranks_without_a_number_agree_and_silence_nothing(value: float) -> None:
    norms = struck(replicas(), 2, slice(300, None), 1.001)
    norms[40:60] = value
    assert found(norms) == [(301, "opened", "critical")]


def test_ranks_that_miss_a_report_are_not_compared_in_it() -> None:
    norms = struck(replicas(), 2, slice(300, None), 1.001)
    norms[::2, 2] = MISSING32
    assert found(norms) == [(303, "opened", "critical")]
    norms[:, 1:] = MISSING32
    assert found(norms) == []


def test_zeros_everywhere_are_equal() -> None:
    norms = replicas()
    norms[50:60] = 0.0
    assert found(norms) == []
    norms[300:, 1] = 0.0
    assert found(norms)[0] == (301, "opened", "critical")


def test_cuts_make_no_difference() -> None:
    run = jointly(grad_norm=struck(replicas(), 2, slice(9, 40), 1.5))
    once = watch(run)
    for size in (1, 3, 16, 50):
        assert watch(run, every(size, run)).findings == once.findings


def test_two_ranks_are_enough() -> None:
    norms = struck(replicas(), 1, slice(300, None), 1.001)
    norms[:, 2:] = MISSING32
    assert found(norms) == [(301, "opened", "critical")]
