import uuid
from typing import Any

import pytest

from gradwatch_service.diagnose.acts import ENDED_BY
from gradwatch_service.store.handed import Wish
from gradwatch_service.web import run_story
from gradwatch_service.web.run_story import Deed, Verdict
from tests.alerting import NOW

ALERT_ID = str(uuid.uuid4())


def run(**fields: Any) -> dict[str, Any]:
    return {
        "state": "running",
        "health": "ok",
        "last_step": 1500,
        "last_seen_at": "2026-11-27T12:00:00.000Z",
        "finish_reason": None,
        "config": {},
    } | fields


def alert(**fields: Any) -> dict[str, Any]:
    return {
        "id": ALERT_ID,
        "state": "firing",
        "severity": "error",
        "confidence": 0.9,
        "opened_step": 1412,
        "title": "Gradients explode (step 1412)",
        "actionable": True,
        "resolved_by": None,
        "layers": ["rnn.weight_hh", "rnn.weight_xh"],
    } | fields


def item(**fields: Any) -> dict[str, Any]:
    return {"class": 2, "expires_step": 2000} | fields


def event(status: str, step: int | None, **fields: Any) -> dict[str, Any]:
    said = {"kind": "advice", "id": "a", "action": "scale_lr", "status": status, "step": step}
    return said | fields


@pytest.mark.parametrize(
    ("of_run", "alerts", "expected"),
    [
        (
            {"health": "critical"},
            [alert()],
            Verdict("error", "Gradients explode since step 1,412", "", "rnn.weight_hh"),
        ),
        (
            {"state": "stale"},
            [alert(title="NaN in rnn.weight_hh (step 7)", opened_step=7), alert()],
            Verdict(
                "error",
                "NaN in rnn.weight_hh since step 7",
                "Silent since 2026-11-27 12:00 UTC. 1 more open alert below.",
            ),
        ),
        (
            {"state": "failed"},
            [alert(layers=[]), alert(), alert()],
            Verdict(
                "error",
                "Gradients explode since step 1,412",
                "The run has failed meanwhile. 2 more open alerts below.",
            ),
        ),
        (
            {},
            [],
            Verdict("ok", "Healthy at step 1,500", "Nothing unusual was seen: no alert so far."),
        ),
        (
            {},
            [alert(state="resolved")],
            Verdict("ok", "Healthy at step 1,500", "1 earlier alert is over."),
        ),
        (
            {},
            [alert(state="pending"), alert(state="resolved")],
            Verdict(
                "ok",
                "Healthy at step 1,500",
                "One thing is being watched: Gradients explode. It must last to be an alert.",
            ),
        ),
        (
            {"state": "stale"},
            [],
            Verdict(
                "warning",
                "Silent since 2026-11-27 12:00 UTC",
                "Its last report was of step 1,500. Is the job still running?",
            ),
        ),
        (
            {"last_step": None},
            [],
            Verdict("quiet", "Nothing reported yet", "It is waiting for the job's first step."),
        ),
        (
            {"state": "stale", "last_step": None},
            [],
            Verdict(
                "warning",
                "Silent since 2026-11-27 12:00 UTC",
                "It never reported a step. Is the job still running?",
            ),
        ),
        (
            {"state": "finished"},
            [],
            Verdict(
                "ok",
                "Finished at step 1,500, healthy",
                "Nothing unusual was seen: no alert so far.",
            ),
        ),
        (
            {"state": "failed", "health": "critical", "finish_reason": "OutOfMemoryError"},
            [alert(state="resolved", resolved_by=ENDED_BY), alert(state="resolved")],
            Verdict(
                "critical",
                "Failed at step 1,500, with trouble left",
                "Reason: OutOfMemoryError. Still open then: Gradients explode, since step 1,412.",
            ),
        ),
    ],
)
def test_the_verdict_is_one_plain_sentence(
    of_run: dict[str, Any], alerts: list[dict[str, Any]], expected: Verdict
):
    assert run_story.verdict(run(**of_run), alerts) == expected


def test_what_is_open_comes_first_then_the_gravest_and_the_surest():
    names = {
        "over": alert(state="resolved", severity="critical"),
        "watched": alert(state="pending", severity="critical"),
        "unsure": alert(confidence=0.5),
        "sure": alert(),
        "known": alert(state="acknowledged", severity="critical"),
        "mild": alert(severity="warning", confidence=0.99),
    }
    ranked = run_story.ranked([one | {"name": name} for name, one in names.items()])
    order = [one["name"] for one in ranked]
    assert order == ["known", "sure", "unsure", "mild", "watched", "over"]


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        (["applied"], "done, on trial"),
        (["applied", "verified"], "it helped"),
        (["applied", "failed"], "it did not help"),
        (["applied", "failed", "undone"], "it did not help and was taken back"),
        (["applied", "verified", "undone"], "taken back"),
        (["declined"], "declined"),
        (["paused"], "paused"),
    ],
)
def test_what_became_of_an_action_is_said_in_words(statuses: list[str], outcome: str):
    (deed,) = run_story.deeds([event(one, 7) for one in statuses], {})
    assert deed.outcome == outcome


def test_actions_are_named_as_they_were_advised_and_other_events_are_none():
    said = [
        event("applied", 7, text="Halve it"),
        {"kind": "checkpoint", "step": 8},
        {"kind": "advice", "step": 9},
        event("verified", None),
        event("declined", 9, id="b", text="Go back: no checkpoint"),
    ]
    assert run_story.deeds(said, {"a": "Multiply the rate by 0.5"}) == [
        Deed(
            "a",
            "scale_lr",
            "Multiply the rate by 0.5",
            ((7, "applied", "Halve it"), (None, "verified", "")),
        ),
        Deed(
            "b", "scale_lr", "Go back: no checkpoint", ((9, "declined", "Go back: no checkpoint"),)
        ),
    ]


def test_an_action_belongs_to_its_alert_in_every_round():
    mine = [str(uuid.uuid5(uuid.UUID(ALERT_ID), name)) for name in ("scale_lr", "scale_lr:2")]
    said = [event("applied", 7, id=key) for key in (*mine, "weights-not-finite")]
    (story,), own = run_story.told([alert()], run_story.deeds(said, {}))
    assert [deed.id for deed in story.deeds] == mine
    assert [deed.id for deed in own] == ["weights-not-finite"]


@pytest.mark.parametrize(
    ("advised", "of_run", "wish", "may", "obstacle"),
    [
        ({}, {}, None, True, ""),
        ({}, {}, Wish("ada", NOW, 7, is_open=False), True, ""),
        (
            {},
            {},
            Wish("ada", NOW, 7),
            True,
            "handed to the job by ada: it answers with one of its next reports",
        ),
        ({"class": 4}, {}, None, True, "only a person can do this"),
        ({}, {"state": "failed"}, None, True, "the run has ended: there is no job to hand it to"),
        ({"expires_step": 1499}, {}, None, True, "its numbers were good until step 1,499"),
        ({}, {}, None, False, "your key may only read: handing needs the scope admin"),
    ],
)
def test_what_cannot_be_handed_to_the_job_says_why(
    advised: dict[str, Any], of_run: dict[str, Any], wish: Wish | None, may: bool, obstacle: str
):
    assert run_story.handing(item(**advised), run(**of_run), wish, may=may) == obstacle


@pytest.mark.parametrize(
    ("config", "promised"),
    [
        ({}, "The job does it once, if it watches with autopilot=2 or more."),
        ({"autopilot": True}, "The job does it once, if it watches with autopilot=2 or more."),
        ({"autopilot": 1}, "It will decline: it runs with autopilot=1, this needs 2."),
        ({"autopilot": 3}, "It does it once: it runs with autopilot=3."),
    ],
)
def test_what_the_job_will_do_is_said_beforehand(config: dict[str, Any], promised: str):
    assert run_story.promise(item(), run(config=config)) == promised


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_steps": 3000}, 0.5),
        ({"total_steps": 1000}, 1.0),
        ({"max_steps": True, "lr": 3}, None),
        ({"max_steps": "many"}, None),
    ],
)
def test_progress_is_known_where_the_config_says_how_long_it_takes(
    config: dict[str, Any], expected: float | None
):
    assert run_story.progress(run(config=config)) == expected


def test_configs_are_compared_value_by_value():
    one = run(config={"lr": 0.1, "model": {"depth": 4, "width": 8}, "same": [1], "none": None})
    other = run(config={"lr": 0.2, "model": {"depth": 4}, "same": [1], "data": {}})
    assert run_story.differing(one, other) == [
        ("data", None, {}),
        ("lr", 0.1, 0.2),
        ("model.width", 8, None),
        ("none", None, None),
    ]
