"""rank-outlier: block by block, against the noise of the ranks and against each other."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32
from tests.ranks import Array, jointly, replicas, struck, uneven
from tests.service.detect.watching import every, watch

RULE = "rank-outlier"


def local(norms: Array) -> list[tuple[int, str, str]]:
    return watch(jointly(local_grad_norm=norms)).of(RULE)


def reported(norms: Array) -> list[tuple[int, str, str]]:
    return watch(jointly(grad_norm=norms)).of(RULE)


def test_two_blocks_on_end_are_an_error_and_32_reports_in_line_end_it() -> None:
    norms = struck(uneven(bits=0.2), 2, slice(160, 240), 3.0)
    assert local(norms) == [(191, "opened", "error"), (286, "cleared", "error")]


def test_one_block_is_not_enough() -> None:
    assert local(struck(uneven(bits=0.2), 2, slice(160, 176), 3.0)) == []


def test_a_rank_that_is_far_away_is_an_error_after_8_reports_on_end() -> None:
    quiet = uneven(bits=0.1)
    norms = struck(quiet, 2, slice(165, 200), 8.0)
    assert local(norms)[0] == (172, "opened", "error")
    fact, _ = watch(jointly(local_grad_norm=norms)).first(RULE).evidence
    assert "in 8 reports and more" in fact.text
    assert local(struck(quiet, 2, slice(165, 172), 8.0)) == []
    norms[170, 2] = quiet[170, 2]
    assert local(norms)[0][0] > 172


@pytest.mark.parametrize(("factor", "words"), [(3.0, "(+1.58 bits"), (1 / 3, "(-1.58 bits")])
def test_the_rank_is_named_with_its_distance(factor: float, words: str) -> None:
    quiet = uneven(bits=0.02)
    finding = watch(jointly(local_grad_norm=struck(quiet, 2, slice(160, None), factor))).first(RULE)
    fact, rank = finding.evidence
    assert finding.layers == ("r2",)
    assert (fact.layer, rank.layer, rank.value, fact.threshold) == ("r2", "r2", 2.0, 0.5)
    assert words in fact.text
    assert fact.value == pytest.approx(np.log2(factor), abs=0.02)
    assert "before the reduction" in fact.text


def test_a_little_more_than_half_a_bit_counts_where_there_is_little_noise() -> None:
    quiet = uneven(bits=0.02)
    assert local(struck(quiet, 0, slice(160, None), 2**0.6))[0] == (191, "opened", "error")
    assert local(struck(quiet, 0, slice(160, None), 2**0.4)) == []


def test_noise_raises_the_limit() -> None:
    noisy = uneven(bits=1.0)
    assert local(noisy) == []
    assert local(struck(noisy, 0, slice(160, None), 2.0)) == []
    assert local(struck(noisy, 0, slice(160, None), 16.0))[0][1] == "opened"


def test_ranks_that_are_rightly_uneven_raise_it_too() -> None:
    assert local(uneven(bits=0.1) * np.array([1.0, 2.0, 0.6, 0.8])) == []


def test_norms_as_reported_must_be_further_away_since_they_may_be_of_shards() -> None:
    assert reported(uneven() * np.array([1.0, 3.0, 0.8, 1.3])) == []
    assert reported(struck(uneven(), 2, slice(160, None), 8.0))[0] == (191, "opened", "error")


def test_shards_of_other_layers_are_not_compared() -> None:
    run = jointly(grad_norm=struck(uneven(), 2, slice(160, None), 8.0))
    assert watch(run.scalar("rank_alike", 0.0)).of(RULE) == []
    assert watch(run.scalar("rank_alike", 1.0)).of(RULE) != []


def test_norms_from_before_the_reduction_are_preferred() -> None:
    shard = struck(uneven(bits=0.2), 2, slice(160, None), 3.0)
    assert watch(jointly(grad_norm=replicas(), local_grad_norm=shard)).of(RULE)[0][0] == 191
    assert watch(jointly(grad_norm=shard, local_grad_norm=uneven(seed=9))).of(RULE) == []


def test_three_ranks_are_too_few() -> None:
    norms = struck(uneven(bits=0.2), 2, slice(160, None), 3.0)
    norms[:, 3] = MISSING32
    assert local(norms) == []


def test_replicas_have_no_outlier() -> None:
    assert reported(replicas()) == []


def test_a_rank_that_misses_a_report_is_not_judged_in_its_block() -> None:
    norms = struck(uneven(ranks=5, bits=0.2), 2, slice(160, None), 3.0)
    norms[165, 3] = MISSING32
    assert local(norms)[0][0] == 191
    norms[170, 4] = MISSING32
    assert local(norms)[0][0] == 207


@pytest.mark.parametrize("value", [np.nan, np.inf, MISSING32])
def test_bad_reports_of_all_ranks_only_delay(value: float) -> None:
    norms = np.insert(struck(uneven(bits=0.2), 2, slice(160, None), 3.0), [50] * 5, value, axis=0)
    assert local(norms)[0] == (196, "opened", "error")


def test_the_rank_furthest_away_is_named_at_once() -> None:
    norms = struck(struck(uneven(ranks=8, bits=0.05), 1, slice(None), 4.0), 5, slice(None), 1 / 8)
    finding = watch(jointly(local_grad_norm=norms)).first(RULE)
    assert (finding.ordinal, finding.layers) == (7, ("r5",))
    assert "of r5 is 0.129 times" in finding.evidence[0].text


def test_several_ranks_out_of_line_are_counted_the_worst_first_after_two_blocks() -> None:
    norms = struck(struck(uneven(ranks=8, bits=0.05), 1, slice(None), 2.0), 5, slice(None), 1 / 3)
    finding = watch(jointly(local_grad_norm=norms)).first(RULE)
    assert (finding.ordinal, finding.layers) == (31, ("r5", "r1"))
    assert finding.evidence[0].text.endswith("; so are 1 more")


def test_cuts_make_no_difference() -> None:
    run = jointly(local_grad_norm=struck(uneven(), 1, slice(77, 205), 6.0))
    once = watch(run)
    assert once.of(RULE)
    for size in (1, 3, 16, 50):
        assert watch(run, every(size, run)).findings == once.findings
