"""A run is judged to its end by what was set of the rules when it was launched, by whomever."""

from __future__ import annotations

import datetime as dt
import uuid
from itertools import pairwise

import pytest
from sqlalchemy import Engine, update

from gradwatch_service.domain import Facts
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Birth, OwnJudge, Task, UnfitError
from gradwatch_service.store import checkpoint, launches, rules, tables
from gradwatch_service.store.rules import RuleSettings
from tests.service.ingest.rig import NOW, answer, create_run, serving, verdict
from tests.service.ingest.training import cut, exploding
from tests.streams import MLP

SHY = {"gradient-spike": {"enabled": False}, "non-finite": {"notify": False}}
CUTS = range(10, 120, 10)


def set_rules(engine: Engine, body: dict[str, dict[str, float]], project: str = "p") -> None:
    with engine.begin() as connection:
        rules.replace(connection, project, RuleSettings(body, NOW, "ann"))


def judged(engine: Engine, run_id: uuid.UUID, *restarts: int) -> object:
    pushes = cut(run_id, exploding(1), CUTS, "w0")
    edges = [0, *restarts, len(pushes)]
    for first, last in pairwise(edges):
        with serving(engine) as writer:
            for push in pushes[first:last]:
                answer(writer, push)
    found = verdict(engine, run_id)
    alerts = found["alerts"].items()  # type: ignore[attr-defined]
    told = [
        (x, *(body[key] for key in ("rule", "severity", "actionable", "opened_step", "state")))
        for x, body in alerts
    ]
    return sorted(told), [row[2:] for row in found["transitions"]]  # type: ignore[attr-defined]


def test_settings_of_a_project_change_what_its_runs_say_and_no_others(engine: Engine) -> None:
    plain = judged(engine, create_run(engine))
    set_rules(engine, SHY)
    assert judged(engine, create_run(engine)) != plain
    assert judged(engine, create_run(engine, project="another")) == plain


def test_a_run_keeps_what_it_was_launched_with_through_restarts(engine: Engine) -> None:
    plain, run_id = judged(engine, create_run(engine)), create_run(engine)
    set_rules(engine, SHY)
    shy, other = create_run(engine), create_run(engine)
    set_rules(engine, {})
    assert judged(engine, run_id, 3, 7) == plain
    assert judged(engine, shy, 2, 6, 9) == judged(engine, other)
    assert judged(engine, create_run(engine)) == plain


def test_the_next_launch_of_a_run_takes_the_settings_of_its_day(engine: Engine) -> None:
    run_id = create_run(engine, launch_id="a")
    set_rules(engine, SHY)
    create_run(engine, NOW + dt.timedelta(hours=1), id=run_id, launch_id="b")
    with engine.connect() as connection:
        first, second = (launches.facts_of(connection, run_id, number) for number in (1, 2))
    assert first.rules == ()
    assert second.rules == (
        ("gradient-spike", "enabled", False),
        ("non-finite", "notify", False),
    )


def test_a_launch_of_a_version_without_settings_has_the_defaults(engine: Engine) -> None:
    set_rules(engine, SHY)
    run_id = create_run(engine)
    with engine.begin() as connection:
        connection.execute(update(tables.attempts).values(rules={}))
        assert launches.facts_of(connection, run_id, 1).rules == ()


@pytest.mark.parametrize("theirs", [(), (("loss-spike", "rise", 0.2),)])
def test_a_checkpoint_of_other_settings_is_not_taken_over(theirs: tuple[tuple[str, str, float]]):
    judge, mine = OwnJudge(Fold()), Facts(rules=(("loss-spike", "rise", 0.5),))
    for facts, fits in ((mine, True), (Facts(rules=theirs), False)):
        body = checkpoint.pack(Fold().init(MLP, facts))
        found = judge.submit(Task(Birth(MLP, mine, body), ())).answer.exception()
        assert (found is None) is fits
        assert fits or isinstance(found, UnfitError)
