"""``gradwatch backtest``: flags in, a table out that somebody new understands."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from gradwatch_service import commands
from gradwatch_service.backtest import changes_of, table
from gradwatch_service.errors import Invalid
from tests.service.ingest.test_backtest import stored


def test_assignments_are_read_in_the_types_of_the_settings() -> None:
    flags = [
        "gradient-spike.threshold=7",
        "loss-plateau.enabled=off",
        "non-finite.critical_streak=6",
    ]
    assert changes_of([*flags, "loss-spike.notify=true"]) == (
        ("gradient-spike", "threshold", 7.0),
        ("loss-plateau", "enabled", False),
        ("non-finite", "critical_streak", 6),
    )


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("gradient-spike", "write RULE.SETTING=VALUE"),
        ("gradient-spike.threshold", "write RULE.SETTING=VALUE"),
        ("gradient-spkie.threshold=7", "did you mean gradient-spike?"),
        ("gradient-spike.treshold=7", "did you mean threshold?"),
        ("gradient-spike.threshold=1", "is a number from 6 to 100"),
        ("gradient-spike.threshold=high", "is a number from 6 to 100"),
        ("gradient-spike.enabled=7", "true or false"),
    ],
)
def test_what_no_rule_has_is_answered_with_what_there_is(flag: str, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        changes_of([flag])
    assert told in caught.value.detail


def test_the_command_prints_totals_and_what_would_change(
    engine: Engine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(engine, name="the-run")
    flags = ["--project", "p", "--set", "update-step-huge.enabled=off", "--database-url"]
    assert commands.backtest([*flags, database_url]) == commands.DONE
    told = capsys.readouterr().out
    assert "1 runs of p, 120 steps" in told
    assert "pages (somebody is called)" in told
    assert "the-run" in told
    assert " ~ " in told or " - " in told or " + " in told


def test_the_command_refuses_a_wrong_setting(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--project", "p", "--set", "loss-spike.rise=nan", "--database-url", database_url]
    assert commands.backtest(flags) == commands.FAILED
    assert "loss-spike.rise is a number from" in capsys.readouterr().err


def test_runs_left_out_are_counted_by_reason() -> None:
    empty = dict.fromkeys(
        ("pages", "warnings", "information", "runs_alerted", "pages_per_10k_steps",
         "warnings_per_10k_steps"), 0,
    )  # fmt: skip
    totals = {"runs": 0, "steps": 0, "present": empty, "proposed": empty}
    left: list[dict[str, Any]] = [{"why": "there was no time left for it"}] * 3
    told = table({"project": "p", "totals": totals, "runs": [], "left_out": left})
    assert "Left out: 3 runs, as there was no time left for it." in told
    assert "No run would say anything else." in told
