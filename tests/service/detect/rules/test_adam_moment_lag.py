"""adam-moment-lag."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import Layer, LayerTable
from tests.service.detect.watching import every, watch
from tests.streams import MLP, Scenario, steady

RULE = "adam-moment-lag"


def lagging(rms: float, *, rows: slice = slice(160, 320), column: int = 2) -> Scenario:
    """This rms(g / √v) in one layer, in these reports; 1 in all others."""
    table = np.ones((320, len(MLP)))
    table[rows, column] = rms
    return steady(320).stat("moment_rms", table)


def test_32_reports_in_a_row_open_it() -> None:
    assert watch(lagging(2.31)).of(RULE) == [(191, "opened", "warning")]
    assert watch(lagging(2.29)).of(RULE) == []
    assert watch(lagging(9.0, rows=slice(160, 191))).of(RULE) == []


def test_it_ends_after_two_blocks_without() -> None:
    found = watch(lagging(3.0, rows=slice(160, 208))).of(RULE)
    assert found == [(191, "opened", "warning"), (255, "cleared", "warning")]


def test_the_first_100_reports_are_not_judged() -> None:
    assert watch(lagging(3.0, rows=slice(0, 320))).of(RULE) == [(127, "opened", "warning")]
    assert watch(lagging(3.0, rows=slice(0, 112))).of(RULE) == []


def test_single_reports_far_out_are_units_that_came_back_to_life() -> None:
    table = np.ones((320, len(MLP)))
    table[::2] = 300.0
    assert watch(steady(320).stat("moment_rms", table)).of(RULE) == []


def test_what_clipping_took_off_does_not_count() -> None:
    run = lagging(8.0).scalar("grad_norm", 4.0)
    assert watch(run.scalar("clip_norm", 1.0)).of(RULE) == []
    assert watch(run.scalar("clip_norm", 1.2)).of(RULE) == [(191, "opened", "warning")]
    assert watch(run.scalar("clip_norm", 100.0)).first(RULE).evidence[0].value == 8.0


@pytest.mark.parametrize("clip", [0.0, -1.0, np.nan, np.inf])
def test_a_limit_that_is_none_takes_nothing_off(clip: float) -> None:
    assert watch(lagging(8.0).scalar("clip_norm", clip)).first(RULE).evidence[0].value == 8.0


def test_embeddings_biases_and_normalisation_are_not_judged() -> None:
    assert watch(lagging(9.0, column=7)).of(RULE) == []
    rows = LayerTable((Layer("emb", "embedding", 0, (64, 8)), *MLP.layers[1:]))
    assert watch(replace(lagging(9.0, column=0), layers=rows)).of(RULE) == []


def test_what_is_not_measured_or_no_number_neither_lengthens_nor_breaks_it() -> None:
    run = lagging(3.0)
    table = run.frame.layers["moment_rms"].copy()
    table[170:176], table[180:182] = np.nan, np.inf
    assert watch(run.stat("moment_rms", table)).of(RULE) == [(207, "opened", "warning")]
    sparse = run.without([i for i in range(320) if i % 4], layers_only=True)
    assert watch(sparse).of(RULE) == [(287, "opened", "warning")]


def test_a_layer_that_is_no_longer_measured_stays_as_it_was() -> None:
    run = lagging(3.0)
    table = run.frame.layers["moment_rms"].copy()
    table[200:, 2] = np.nan
    assert watch(run.stat("moment_rms", table)).of(RULE) == [(191, "opened", "warning")]


def all_lagging(rms: float, rows: slice, layers: int = 7) -> Scenario:
    table = np.ones((320, len(MLP)))
    table[rows, :layers] = rms
    return steady(320).stat("moment_rms", table)


def test_most_layers_far_out_for_eight_reports_are_an_error_at_once() -> None:
    found = watch(all_lagging(5.1, slice(163, 175))).of(RULE)
    assert found == [(170, "opened", "error"), (206, "cleared", "error")]
    assert watch(all_lagging(4.9, slice(163, 175))).of(RULE) == []
    assert watch(all_lagging(9.0, slice(163, 170))).of(RULE) == []
    # Of the seven weight layers of the net four are most.
    assert watch(all_lagging(9.0, slice(163, 175), 4)).of(RULE) != []
    assert watch(all_lagging(9.0, slice(163, 175), 3)).of(RULE) == []


def test_most_layers_are_judged_from_the_100th_report_on_and_as_they_were_clipped() -> None:
    assert watch(all_lagging(9.0, slice(95, 107))).of(RULE) == []
    assert watch(all_lagging(9.0, slice(95, 108))).of(RULE)[0] == (107, "opened", "error")
    run = all_lagging(9.0, slice(163, 175)).scalar("grad_norm", 4.0)
    assert watch(run.scalar("clip_norm", 2.0)).of(RULE) == []
    assert watch(run.scalar("clip_norm", 3.0)).of(RULE)[0] == (170, "opened", "error")


def test_reports_without_moments_or_with_some_that_are_none_neither_break_nor_lengthen_it() -> None:
    run = all_lagging(9.0, slice(163, 190))
    table = run.frame.layers["moment_rms"].copy()
    table[165:170], table[:, 0] = np.nan, np.inf
    assert watch(run.stat("moment_rms", table)).of(RULE)[0] == (175, "opened", "error")


def test_every_way_of_cutting_gives_the_same_findings() -> None:
    run = all_lagging(9.0, slice(163, 230)).without(range(168, 171), layers_only=True)
    for step in (1, 7):
        assert repr(watch(run, every(step, run)).findings) == repr(watch(run).findings)


def test_the_worst_layer_is_named_first() -> None:
    run = lagging(3.0)
    table = run.frame.layers["moment_rms"].copy()
    table[160:, 4] = 5.0
    finding = watch(run.stat("moment_rms", table)).first(RULE)
    fact = finding.evidence[0]
    assert (fact.name, fact.layer, fact.value, fact.threshold) == (RULE, "4.weight", 5.0, 2.3)
    assert finding.layers == ("4.weight", "2.weight")
    assert fact.text.endswith("2 of 8 layers are like that")
