"""Alerts as they are stored: one per run and cause, filtered, paged, with their history."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from gradwatch_service.diagnose import merge
from gradwatch_service.diagnose.acts import Standing
from gradwatch_service.domain import Advice, AlertPart, Evidence, Severity, Suspect, alert_id
from gradwatch_service.errors import NotFound
from gradwatch_service.store import alert_groups, alert_past, alerts, events, parts, transitions
from gradwatch_service.store.advice import health_of, open_alerts, ranked_advice
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.alerts import Incident
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.parts import Contribution, Share

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
RUN = uuid.UUID(int=1)
TIP = Advice(
    cause="data-outlier",
    action="skip_step",
    klass=1,
    title="Skip it",
    text="Let the guard skip.",
    code="",
    params={"above": math.inf},
    confidence=0.5,
    apply_at_step=3,
    expires_step=259,
    preconditions=("none",),
    verify={"metric": "loss"},
    evidence=("loss",),
)
PART = AlertPart(
    cause="data-outlier",
    state="firing",
    rule="non-finite",
    severity=Severity.ERROR,
    actionable=True,
    confidence=0.7,
    opened_step=3,
    last_step=5,
    resolved_step=None,
    regressed=False,
    title="A bad batch",
    explanation="One batch was bad.",
    layers=("fc1", "fc2"),
    evidence=(Evidence("loss", "the loss is NaN", 3, math.nan, -math.inf, "fc1", 2.0),),
    advice=(TIP,),
    causes=(
        Suspect(
            cause="data-outlier",
            title="A bad batch",
            confidence=0.7,
            evidence=(Evidence("isolated", "one report only", 3, weight=3.0),),
            against=(Evidence("rising", "the norm keeps growing", 3, weight=-2.0),),
        ),
    ),
)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with for_writing(engine).begin() as opened:
        yield opened


def incident(
    run_id: uuid.UUID = RUN, minutes: int = 0, project: str = "p", **change: Any
) -> Incident:
    part = replace(PART, **change)
    stands = Standing(merge.join(run_id, {"w0": part}))
    opened_at = NOW + dt.timedelta(minutes=minutes)
    return Incident(stands, project, ("w0",), opened_at, NOW + dt.timedelta(hours=2))


def test_an_alert_is_shown_as_the_api_promises(connection: Connection) -> None:
    alerts.save(connection, [incident()])
    identity = alert_id(RUN, "data-outlier")
    assert alerts.get_alert(connection, identity) == {
        "id": str(identity),
        "run_id": str(RUN),
        "project": "p",
        "rule": "non-finite",
        "severity": "error",
        "actionable": True,
        "state": "firing",
        "cause": "data-outlier",
        "confidence": 0.7,
        "opened_step": 3,
        "last_step": 5,
        "resolved_step": None,
        "layers": ["fc1", "fc2"],
        "title": "A bad batch",
        "explanation": "One batch was bad.",
        "evidence": [
            {
                "name": "loss",
                "text": "the loss is NaN",
                "step": 3,
                "value": "NaN",
                "threshold": "-Infinity",
                "layer": "fc1",
                "weight": 2.0,
            }
        ],
        "advice": [
            {
                "id": str(uuid.uuid5(identity, "skip_step")),
                "alert_id": str(identity),
                "cause": "data-outlier",
                "severity": "error",
                "confidence": 0.5,
                "action": "skip_step",
                "params": {"above": "Infinity"},
                "class": 1,
                "title": "Skip it",
                "text": "Let the guard skip.",
                "code": "",
                "apply_at_step": 3,
                "expires_step": 259,
                "preconditions": ["none"],
                "verify": {"metric": "loss"},
                "undo": "",
                "evidence": ["loss"],
            }
        ],
        "causes": [
            {
                "cause": "data-outlier",
                "title": "A bad batch",
                "confidence": 0.7,
                "evidence": [{"name": "isolated", "text": "one report only", "weight": 3.0}],
                "against": [{"name": "rising", "text": "the norm keeps growing", "weight": -2.0}],
            }
        ],
        "regressed": False,
        "writers": ["w0"],
        "opened_at": "2026-11-23T12:00:00.000Z",
        "updated_at": "2026-11-23T14:00:00.000Z",
        "acknowledged_by": None,
        "acknowledged_at": None,
        "resolved_by": None,
        "comment": None,
    }


def test_an_alert_saved_again_is_replaced(connection: Connection) -> None:
    alerts.save(connection, [incident()])
    alerts.save(connection, [incident(state="resolved", resolved_step=9)])
    (found,) = alerts.list_alerts(connection, AlertFilters()).items
    assert (found["state"], found["resolved_step"]) == ("resolved", 9)
    assert alerts.list_alerts(connection, AlertFilters(states=("firing",))).items == ()


def test_a_part_of_a_title_is_found_in_any_alphabet(connection: Connection) -> None:
    alerts.save(connection, [incident(title="Übermaß in Δw", cause="other")])
    for wanted in ("Übermaß", "ÜBER", "in ΔW"):
        assert len(alerts.list_alerts(connection, AlertFilters(title=wanted)).items) == 1
    assert alerts.list_alerts(connection, AlertFilters(title="Unter")).items == ()


def test_a_list_shows_what_was_asked_for(connection: Connection) -> None:
    other = uuid.UUID(int=2)
    alerts.save(
        connection,
        [
            incident(minutes=0),
            incident(other, 1, "q", severity=Severity.WARNING, state="pending"),
            incident(other, 2, "q", cause="no-warm-up", rule="loss-spike"),
        ],
    )

    def found(**wanted: Any) -> list[tuple[object, object]]:
        page = alerts.list_alerts(connection, AlertFilters(**wanted))
        return [(item["project"], item["cause"]) for item in page.items]

    newest_first = [("q", "no-warm-up"), ("q", "data-outlier"), ("p", "data-outlier")]
    assert found() == newest_first
    assert found(project="q") == found(run_id=other) == newest_first[:2]
    assert found(states=("pending",)) == found(severities=(Severity.WARNING,)) == newest_first[1:2]
    assert found(states=("pending", "firing")) == newest_first
    assert found(cause="no-warm-up") == newest_first[:1]
    assert found(actionable=True) == found(title="BAD bat") == newest_first
    assert found(actionable=False) == found(title="bad_bat") == found(title="%") == []
    assert found(ids=(alert_id(RUN, "data-outlier"), other)) == newest_first[2:]
    assert found(ids=()) == []
    assert found(rule="loss-spike") == newest_first[:1]
    assert found(rule="loss-spike", project="p") == []


def test_alerts_are_counted_by_state_whichever_are_shown(connection: Connection) -> None:
    runs = [uuid.UUID(int=n) for n in range(1, 4)]
    stories = zip(runs, ("firing", "firing", "resolved"), strict=True)
    alerts.save(connection, [incident(run_id, state=state) for run_id, state in stories])
    shown = AlertFilters(states=("pending",))
    assert alert_groups.by_state(connection, shown) == {"firing": 2, "resolved": 1}
    assert alert_groups.by_state(connection, AlertFilters("q")) == {}


def test_alerts_are_gathered_by_run_page_by_page(connection: Connection) -> None:
    runs = [uuid.UUID(int=n) for n in range(1, 6)]
    alerts.save(connection, [incident(run_id, n // 2) for n, run_id in enumerate(runs)])
    alerts.save(connection, [incident(RUN, 9, cause="plateau", severity=Severity.CRITICAL)])
    seen: list[alert_groups.Group] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        groups, cursor = alert_groups.by_run(connection, AlertFilters(), cursor, 2)
        seen += groups
    assert [one.key for one in seen] == [str(run_id) for run_id in (RUN, *runs[:0:-1])]
    assert (seen[0].count, seen[0].worst) == (2, Severity.CRITICAL)
    assert seen[0].newest == NOW + dt.timedelta(minutes=9)
    calm = AlertFilters(severities=(Severity.ERROR,))
    (first, *_), _ = alert_groups.by_run(connection, calm, None, 10)
    assert (first.key, first.count) == (str(runs[4]), 1)


def test_alerts_are_gathered_by_cause(connection: Connection) -> None:
    alerts.save(connection, [incident(RUN, 1), incident(uuid.UUID(int=2), 2)])
    alerts.save(connection, [incident(RUN, 3, cause="plateau", severity=Severity.INFO)])
    found = alert_groups.by_cause(connection, AlertFilters())
    assert [(one.key, one.count, one.worst) for one in found] == [
        ("plateau", 1, Severity.INFO),
        ("data-outlier", 2, Severity.ERROR),
    ]
    newest = alert_groups.newest_of_causes(connection, AlertFilters(), 1)
    assert set(newest) == {alert_id(RUN, "plateau"), alert_id(uuid.UUID(int=2), "data-outlier")}


def test_it_is_known_when_the_last_alert_ended(connection: Connection) -> None:
    assert alert_groups.last_ended(connection, None) is None
    alerts.save(connection, [incident(), incident(uuid.UUID(int=2), state="resolved")])
    assert alert_groups.last_ended(connection, None) == NOW + dt.timedelta(hours=2)
    assert alert_groups.last_ended(connection, "q") is None


def test_the_alerts_before_had_the_same_cause_in_the_same_project(connection: Connection) -> None:
    second, later, foreign = (uuid.UUID(int=n) for n in range(2, 5))
    alerts.save(
        connection,
        [
            incident(minutes=0),
            incident(second, 1),
            incident(second, 1, cause="plateau"),
            incident(later, 9),
            incident(foreign, 0, "q"),
        ],
    )
    alert = alerts.get_alert(connection, alert_id(second, "data-outlier"))
    assert alert_past.earlier(connection, alert, 10) == (alert_id(RUN, "data-outlier"),)
    assert alert_past.earlier(connection, alert, 0) == ()


def test_what_jobs_did_is_told_run_by_run(connection: Connection) -> None:
    said = [
        {"kind": "advice", "action": "skip_step", "status": "applied", "step": 7},
        {"kind": "checkpoint", "step": 8},
    ]
    rows = [events.row(RUN, 1, event, uuid.UUID(int=n), NOW) for n, event in enumerate(said)]
    events.append(connection, rows)
    assert alert_past.actions(connection, [RUN, uuid.UUID(int=2)]) == {RUN: said[:1]}


def test_pages_of_a_list_cover_it_once(connection: Connection) -> None:
    runs = [uuid.UUID(int=n) for n in range(1, 8)]
    alerts.save(connection, [incident(run_id, n // 3) for n, run_id in enumerate(runs)])
    seen: list[object] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        page = alerts.list_alerts(connection, AlertFilters(), cursor, limit=2)
        seen += [item["run_id"] for item in page.items]
        cursor = page.next_cursor
    assert sorted(seen) == sorted(str(run_id) for run_id in runs)
    assert seen[0] == str(runs[-1])


def test_an_alert_that_never_was_is_not_found(connection: Connection) -> None:
    with pytest.raises(NotFound):
        alerts.get_alert(connection, uuid.uuid4())


def test_parts_come_back_as_they_were_saved(connection: Connection) -> None:
    share = Share(RUN, "data-outlier", "w0")
    part = replace(PART, evidence=(replace(PART.evidence[0], value=1.5),))
    parts.save(connection, {share: Contribution(1, PART)})
    parts.save(connection, {share: Contribution(1, part)})
    found = parts.of_runs(connection, [RUN, uuid.uuid4()])
    kept = found[RUN]["data-outlier"]["w0"]
    assert kept.part == replace(part, advice=(replace(TIP, params={"above": "Infinity"}),))
    assert kept.attempt == 1


def test_a_part_of_a_launch_that_is_over_counts_as_resolved() -> None:
    assert Contribution(2, PART).as_of(2) == PART
    over = Contribution(1, PART).as_of(2)
    assert over == replace(PART, state="resolved", resolved_step=5)
    assert Contribution(1, over).as_of(2) is over


def test_the_history_of_an_alert_is_kept_in_order(connection: Connection) -> None:
    identity = alert_id(RUN, "data-outlier")
    rows = [
        {
            "run_id": RUN,
            "writer": "w0",
            "number": number,
            "alert_id": identity,
            "cause": "data-outlier",
            "kind": kind,
            "step": 3 + number,
            "text": "",
            "at": NOW,
        }
        for number, kind in enumerate(["firing", "worsened", "resolved"])
    ]
    transitions.add(connection, rows[::-1])
    found = transitions.of_alert(connection, RUN, identity)
    assert [(one["kind"], one["step"]) for one in found] == [
        ("firing", 3),
        ("worsened", 4),
        ("resolved", 5),
    ]


@pytest.mark.parametrize(
    ("severity", "state", "health", "count"),
    [
        (Severity.INFO, "firing", "ok", 1),
        (Severity.WARNING, "firing", "warning", 1),
        (Severity.ERROR, "firing", "critical", 1),
        (Severity.CRITICAL, "acknowledged", "critical", 1),
        (Severity.CRITICAL, "pending", "ok", 0),
        (Severity.CRITICAL, "resolved", "ok", 0),
    ],
)
def test_health_follows_the_worst_open_alert(
    severity: Severity, state: str, health: str, count: int
) -> None:
    body = incident(severity=severity, state=state).body
    assert (health_of([body]), len(open_alerts([body]))) == (health, count)


def test_advice_is_ranked_by_severity_then_confidence_then_as_the_diagnosis_gave_it() -> None:
    def advised(cause: str, severity: Severity, confidence: float, state: str = "firing") -> Any:
        tips = tuple(replace(TIP, cause=cause, action=f"{cause}-{n}") for n in range(2))
        return incident(
            cause=cause, severity=severity, state=state, confidence=confidence, advice=tips
        ).body

    ranked = ranked_advice(
        [
            advised("mild", Severity.WARNING, 0.9),
            advised("unsure", Severity.CRITICAL, 0.3),
            advised("sure", Severity.CRITICAL, 0.6),
            advised("over", Severity.CRITICAL, 0.99, state="resolved"),
        ]
    )
    assert [item["action"] for item in ranked] == [
        f"{cause}-{n}" for cause in ("sure", "unsure", "mild") for n in range(2)
    ]
