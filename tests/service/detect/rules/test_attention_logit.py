"""attention-logit."""

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32, MISSING64
from tests.service.detect.watching import every, watch
from tests.streams import MLP, Array, Scenario, steady

RULE = "attention-logit"
NAME = "attention_logit_max"


def reaching(logit: float, rows: slice = slice(40, 80), n: int = 120) -> Array:
    values = np.full(n, 20.0)
    values[rows] = logit
    return values


def sent(values: Array) -> Scenario:
    return steady(len(values)).scalar(NAME, values)


def test_four_reports_from_a_thousand_on_are_a_warning_from_ten_thousand_an_error() -> None:
    assert watch(sent(reaching(999.0))).of(RULE) == []
    assert watch(sent(reaching(1000.0))).of(RULE)[0] == (43, "opened", "warning")
    assert watch(sent(reaching(9999.0))).of(RULE)[0] == (43, "opened", "warning")
    assert [x[:2] for x in watch(sent(reaching(1e4))).of(RULE)] == [
        (43, "opened"), (111, "cleared"),
    ]  # fmt: skip
    assert watch(sent(reaching(1e4))).first(RULE).severity.label == "error"
    assert watch(sent(reaching(5e4, slice(40, 43)))).of(RULE) == []


def test_an_infinite_logit_is_beyond_every_limit_and_one_that_is_none_is_not_known() -> None:
    assert watch(sent(reaching(np.inf))).of(RULE)[0] == (43, "opened", "error")
    for value in (np.nan, MISSING64, -np.inf):
        assert watch(sent(reaching(value))).of(RULE) == []
    values = reaching(2000.0)
    values[41:60] = np.nan
    assert watch(sent(values)).of(RULE)[0] == (62, "opened", "warning")


def test_it_ends_after_32_reports_below_that_measure_it() -> None:
    values = reaching(2000.0, slice(40, 50), 200)
    assert watch(sent(values)).of(RULE) == [(43, "opened", "warning"), (81, "cleared", "warning")]
    values[50:100] = MISSING64
    assert watch(sent(values)).of(RULE) == [(43, "opened", "warning"), (131, "cleared", "warning")]


def test_it_may_come_by_layer_and_names_the_highest_first() -> None:
    table = np.full((120, len(MLP)), 20.0)
    table[40:80, 2], table[40:80, 4], table[:, 1] = 1500.0, 3000.0, MISSING32
    finding = watch(steady(120).stat(NAME, table)).first(RULE)
    fact = finding.evidence[0]
    assert finding.layers == ("4.weight", "2.weight")
    assert (fact.name, fact.layer, fact.value, fact.threshold) == (RULE, "4.weight", 3000.0, 1e3)
    assert fact.text.startswith("the largest attention logit is 3e+03 (in 4.weight)")


def test_the_larger_of_scalar_and_layers_counts() -> None:
    table = np.full((120, len(MLP)), 20.0)
    both = steady(120).stat(NAME, table).scalar(NAME, reaching(2000.0))
    finding = watch(both).first(RULE)
    assert (finding.layers, finding.evidence[0].value) == ((), 2000.0)


def test_steady_growth_comes_with_a_forecast() -> None:
    values = 20.0 * np.exp2(np.arange(160) / 20)
    logit, doubling, limit = watch(sent(values)).first(RULE).evidence
    assert watch(sent(values)).of(RULE)[0] == (116, "opened", "warning")
    assert logit.name == RULE
    assert (doubling.name, doubling.value) == ("doubling-time", pytest.approx(20, rel=1e-3))
    # 9 doublings of 20 reports each from the start
    assert (limit.name, limit.value) == ("reports-to-limit", pytest.approx(63.3, rel=0.01))


def test_a_jump_from_a_level_is_no_growth_and_beyond_the_limit_there_is_nothing_to_forecast() -> (
    None
):
    assert len(watch(sent(reaching(2000.0))).first(RULE).evidence) == 1
    values = 20.0 * np.exp2(np.arange(160) / 6)
    facts = [x.evidence for x in watch(sent(values)).findings if x.rule == RULE]
    assert [[fact.name for fact in each] for each in facts] == [
        [RULE, "doubling-time", "reports-to-limit"], [RULE, "doubling-time"],
    ]  # fmt: skip


def test_a_run_too_young_for_a_trend_gets_no_forecast() -> None:
    finding = watch(sent(20.0 * np.exp2(np.arange(60) / 3))).first(RULE)
    assert (finding.ordinal, len(finding.evidence)) == (20, 1)


def test_reports_in_between_without_a_logit_stretch_the_forecast() -> None:
    values = np.full(640, MISSING64)
    values[::4] = 20.0 * np.exp2(np.arange(160) / 20)
    assert watch(sent(values)).first(RULE).evidence[1].value == pytest.approx(80, rel=1e-3)


def test_every_way_of_cutting_gives_the_same_findings() -> None:
    run = sent(20.0 * np.exp2(np.arange(160) / 20))
    assert repr(watch(run, every(1, run)).findings) == repr(watch(run).findings)
