"""The pages of alerts as the service renders them: filters, groups, one alert and its past."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from gradwatch_service.domain import Severity, alert_id
from gradwatch_service.store import deliveries
from gradwatch_service.store.codec import rfc3339
from gradwatch_service.store.deliveries import Delivery
from tests import alerting
from tests.service.api.conftest import Api, served
from tests.tenants import A, B, Keyring
from tests.troubled import a_bad_day

HTML = {"accept": "text/html"}
RNN = "explosion-through-time"


def page(api: Api, path: str, status: int = 200, **headers: str) -> str:
    answer = api.send("GET", f"http://test{path}", headers=HTML | headers)
    assert answer.status_code == status, answer.text
    return answer.text


def titles(text: str) -> list[str]:
    return re.findall(r'<a class="title"[^>]*>([^<]*)</a>', text)


def runs(text: str) -> list[str]:
    return re.findall(r'<a class="run"[^>]*>([^<]*)</a>', text)


def counts(text: str) -> dict[str, str]:
    return dict(re.findall(r">(\w+) <span class=\"number\">(\d+)<", text))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service on a bad day; no worker adds to it."""
    with served(tmp_path_factory.mktemp("day"), embedded_worker=False) as api:
        a_bad_day(engine_of(api))
        yield api


@pytest.fixture
def calm(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, embedded_worker=False) as api:
        yield api


def engine_of(api: Api) -> Engine:
    engine: Engine = api.app.state.backend.engine
    return engine


def write(api: Api, work: Any) -> Any:
    return api.app.state.backend.write(work)


def found(api: Api, **wanted: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/alerts", **wanted).json()["items"]
    return items


def test_the_list_shows_what_is_open_the_newest_first(day: Api):
    text = page(day, "/alerts")
    assert runs(text) == [
        "char-rnn-12", "gpt-tiny", "gpt-large", "resnet-9", "vit-b16", "gpt-medium", "gpt-small",
    ]  # fmt: skip
    names = ("Open", "Firing", "Acknowledged", "Pending", "Resolved", "All")
    assert counts(text) == dict(zip(names, "761029", strict=True))
    assert "by ben" in text
    assert text.count(">silenced<") == 1
    assert re.search(r"Explosion through time</a> <span[^>]*>88&nbsp;%", text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=acknowledged", ["gpt-medium"]),
        ("state=resolved", ["gpt-medium", "char-rnn-7"]),
        ("least=critical", ["char-rnn-12"]),
        ("least=critical&state=all", ["char-rnn-12", "char-rnn-7"]),
        (f"cause={RNN}", ["char-rnn-12"]),
        ("rule=dead-layer", ["resnet-9"]),
        ("project=vision", ["resnet-9", "vit-b16"]),
        ("title=LEARNING+rate", ["gpt-large", "gpt-medium"]),
        ("actionable=1", ["char-rnn-12", "gpt-large", "gpt-medium", "gpt-small"]),
        ("title=learning&least=&rule=&cause=&project=&run=&actionable=&group=",
         ["gpt-large", "gpt-medium"]),
        ("title=%25", []),
    ],
)  # fmt: skip
def test_filters_leave_what_they_say(day: Api, query: str, expected: list[str]):
    assert runs(page(day, f"/alerts?{query}")) == expected


def test_the_alerts_of_one_run_have_an_address(day: Api):
    (alert,) = found(day, cause="learning-rate-too-high")
    text = page(day, f"/alerts?run={alert['run_id']}&state=all")
    assert "Alerts of gpt-medium" in text
    assert runs(text) == ["gpt-medium", "gpt-medium"]
    page(day, f"/alerts?run={uuid.uuid4()}", status=404)


def test_groups_gather_alerts_by_run_and_by_cause(day: Api):
    text = page(day, "/alerts?group=run&state=all")
    headings = re.findall(r'<h2 id="group[^>]*>\s*<a[^>]*>([^<]*)', text)
    assert headings == list(dict.fromkeys(runs(text)))
    assert re.findall(r'count">(\d) alert', text)[headings.index("gpt-medium")] == "2"
    text = page(day, "/alerts?group=cause&state=all")
    assert runs(text)[:3] == ["char-rnn-12", "char-rnn-7", "gpt-tiny"]
    headings = re.findall(r'<h2 id="group[^>]*>\s*<a[^>]*>([^<]*)', text)
    assert headings[:2] == ["Explosion through time", "A plateau"]


def add_alerts(connection: Connection, count: int, **fields: Any) -> None:
    for number in range(count):
        run_id = alerting.new_run(connection, f"run-{number:03}", alerting.NOW)
        at = alerting.NOW + dt.timedelta(minutes=number)
        extra = {"acknowledged_by": None, "resolved_by": None, "now": at} | fields
        alerting.set_alert(connection, run_id, **extra)


@pytest.mark.parametrize(("query", "pages"), [("", [50, 12]), ("?group=run", [20, 20, 20, 2])])
def test_pages_of_the_list_cover_it_once(calm: Api, query: str, pages: list[int]):
    write(calm, lambda connection: add_alerts(connection, 62))
    seen, path = [], f"/alerts{query}"
    while path:
        text = page(calm, path)
        seen.append(runs(text))
        older = re.search(r'rel="next" href="([^"]*)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert [len(one) for one in seen] == pages
    assert [name for one in seen for name in one] == [f"run-{n:03}" for n in reversed(range(62))]


def test_a_group_by_cause_shows_the_newest_and_leads_to_the_others(calm: Api):
    write(calm, lambda connection: add_alerts(connection, 12))
    text = page(calm, "/alerts?group=cause")
    assert len(runs(text)) == 10
    assert re.search(r'href="/alerts\?cause=learning-rate-too-high">Show all 12<', text)


def test_rows_are_read_again_by_id_and_say_whether_they_still_fit(day: Api):
    known, fits = found(day, cause="learning-rate-too-high")[0], found(day, cause="dead-units")[0]
    ids = f"id={known['id']}&id={fits['id']}&id={uuid.uuid4()}"
    text = page(day, f"/alerts/rows?state=firing&{ids}")
    left = re.findall(r'data-id="([^"]*)"[^>]*?( data-left)?>', text)
    assert left == [(fits["id"], ""), (known["id"], " data-left")]
    assert counts(text)["Firing"] == "6"
    grouped = page(day, f"/alerts/rows?group=cause&{ids}")
    assert re.findall(r'data-group="([^"]*)"', grouped) == ["dead-units", "learning-rate-too-high"]


def test_an_alert_has_a_page_with_all_of_it(day: Api):
    (alert,) = found(day, cause=RNN, state="firing")
    text = page(day, f"/alerts/{alert['id']}")
    assert f"<h1>{alert['title']}</h1>" in text
    assert alert["explanation"] in text
    assert all(f"<summary>{one['title']}</summary>" in text for one in alert["advice"])
    margin = (alert["last_step"] - alert["opened_step"]) // 3
    first, last = alert["opened_step"] - margin, alert["last_step"] + margin
    assert f'/runs/{alert["run_id"]}?from={first}&amp;to={last}"' in text


def test_an_alert_tells_what_happened_before_and_what_helped(day: Api):
    (alert,) = found(day, cause=RNN, state="firing")
    text = page(day, f"/alerts/{alert['id']}")
    before = text[text.index("Has this happened before?") :]
    assert "char-rnn-7" in before
    assert "Ended by anna: <q>clipping at 1 held it</q>" in before
    assert "The job did: clip_grad_norm: verified" in before
    (first,) = found(day, cause="dead-units")
    assert "it is the first time that" in page(day, f"/alerts/{first['id']}")


def kinds(text: str) -> list[tuple[str, str]]:
    return re.findall(r'<li data-kind="(\w+)"><p><strong>([^<]*)</strong>', text)


def test_the_history_has_what_people_did(day: Api):
    (alert,) = found(day, cause="learning-rate-too-high")
    text = page(day, f"/alerts/{alert['id']}")
    assert kinds(text) == [
        ("acknowledged", "Acknowledged"),
        ("worsened", "Got worse"),
        ("firing", "Began to fire"),
        ("pending", "Noticed, waiting whether it lasts"),
    ]
    assert "<q>halving the rate</q>" in text
    (silenced,) = found(day, cause="fp16-underflow")
    told = kinds(page(day, f"/alerts/{silenced['id']}"))
    assert told[0] == ("silenced", "Silenced")


def tell(
    connection: Connection, run_id: uuid.UUID, channel_id: uuid.UUID, state: str, minutes: int
) -> None:
    at = alerting.NOW + dt.timedelta(minutes=minutes)
    subject = {"id": str(alert_id(run_id, alerting.CAUSE))}
    deliveries.add(
        connection,
        Delivery(
            run_id=run_id,
            delivery_id=uuid.uuid4(),
            channel_id=channel_id,
            project=alerting.PROJECT,
            kind="firing",
            body={"reason": "firing-new", "told": {}, "subjects": [subject]},
            created_at=at,
            due_at=at,
            state=state,
            error="it answered 500" if state == "dead" else "",
            settled_at=None if state == "pending" else at,
        ),
    )


def test_the_history_says_to_which_channels_it_was_told_and_to_which_not(calm: Api):
    def told(connection: Connection) -> str:
        run_id = alerting.new_run(connection)
        ops = alerting.new_channel(connection, "https://ops.invalid")
        extra = dict.fromkeys(("acknowledged_by", "acknowledged_at", "resolved_by", "comment"))
        extra |= {"evidence": [], "causes": [], "advice": [], "writers": ["w0"]}
        alerting.set_alert(connection, run_id, **extra)
        for minutes, state in enumerate(("sent", "dead", "pending", "superseded")):
            tell(connection, run_id, ops, state, minutes)
        tell(connection, alerting.new_run(connection), ops, "sent", 9)
        return str(alert_id(run_id, alerting.CAUSE))

    text = page(calm, f"/alerts/{write(calm, told)}")
    assert kinds(text) == [
        ("superseded", "Overtaken by newer news for ops (webhook)"),
        ("pending", "On its way to ops (webhook)"),
        ("dead", "Could not be told to ops (webhook)"),
        ("sent", "Told to ops (webhook)"),
    ]
    assert "it answered 500" in text


def test_an_alert_that_came_back_says_so(calm: Api):
    path = calm.new_run(name="<b>bold</b>")
    reports = [{"step": step, "loss": 1.0} for step in range(40)]
    calm.post(f"{path}/steps", {"steps": [*reports, {"step": 40, "loss": "NaN"}]})
    (alert,) = found(calm, rule="non-finite")
    calm.post(f"/alerts/{alert['id']}/resolve", {"by": "anna", "comment": "bad disk"})
    calm.post(f"{path}/steps", {"steps": [{"step": 41, "loss": "NaN"}]})
    text = page(calm, "/alerts")
    assert ">regressed<" in text
    assert runs(text)[0] == "&lt;b&gt;bold&lt;/b&gt;"
    assert "bad disk" in page(calm, f"/alerts/{alert['id']}")


def test_an_empty_list_is_calm_and_says_when_the_last_alert_ended(calm: Api):
    assert "none ever was" in page(calm, "/alerts")
    at = rfc3339(alerting.NOW)
    write(calm, lambda connection: add_alerts(connection, 1, state="resolved"))
    text = page(calm, "/alerts")
    assert "Nothing is wrong" in text
    assert f'The last one ended <time datetime="{at.replace(".000", "")}"' in text
    assert "No alert fits" in page(calm, "/alerts?title=zebra")
    assert "None is firing" in page(calm, "/alerts?state=firing")


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[Api, Keyring]]:
    with served(tmp_path, embedded_worker=False, require_key=True) as api:
        for project in (A, B):
            write(api, lambda connection, project=project: _one(connection, project))
        yield api, Keyring(engine_of(api))


def _one(connection: Connection, project: str) -> None:
    run_id = alerting.new_run(connection, f"run of {project}", project=project)
    fields = dict.fromkeys(("acknowledged_by", "resolved_by"))
    alerting.set_alert(connection, run_id, project=project, severity=Severity.ERROR, **fields)


def test_nobody_sees_alerts_of_another_project(keyed: tuple[Api, Keyring]):
    api, ring = keyed
    own = ring.bearer(A, "read")
    text = page(api, "/alerts?state=all", **own)
    assert runs(text) == [f"run of {A}"]
    assert counts(text)["All"] == "1"
    theirs = api.send("GET", "/alerts", headers=ring.bearer(B, "read")).json()["items"][0]
    assert runs(page(api, f"/alerts/rows?id={theirs['id']}", **own)) == []
    assert runs(page(api, f"/alerts?state=all&run={theirs['run_id']}", **own)) == []
    page(api, f"/alerts?project={B}", status=404, **own)
    page(api, f"/alerts/{theirs['id']}", status=404, **own)
    preview = f"/alerts/silences/preview?project={B}&name=severity&op=%3D&value=error"
    page(api, preview, status=404, **own)


def test_who_may_only_read_is_told_why_nothing_can_be_done(keyed: tuple[Api, Keyring]):
    api, ring = keyed
    text = page(api, "/alerts", **ring.bearer(A, "read"))
    assert "Your key may only read" in text
    assert len(re.findall(r"<button[^>]*data-act[^>]* disabled", text)) == 3
    text = page(api, "/alerts", **ring.bearer(A, "admin"))
    assert "Your key may only read" not in text
    assert not re.findall(r"<button[^>]*data-act[^>]* disabled", text)


def test_silences_are_shown_as_they_stand(day: Api):
    text = page(day, "/alerts/silences")
    holds, over = text.split("Past silences")
    assert "cause = fp16-underflow" in holds
    assert "known: waits for bf16 nodes" in holds
    assert "run_name = scratch" in over
    assert "cause = fp16-underflow" not in over
    assert "No silence holds" in page(day, "/alerts/silences?project=lm")


def preview(api: Api, *matchers: tuple[str, str, str], project: str = "lm") -> str:
    query = [("project", project)]
    for matcher in matchers:
        query += zip(("name", "op", "value"), matcher, strict=True)
    answer = api.send("GET", "http://test/alerts/silences/preview", params=query)
    assert answer.status_code == 200
    return answer.text


def test_a_silence_shows_what_it_would_cover_before_it_is_made(day: Api):
    assert "<strong>4</strong>" in preview(day, ("severity", "=~", "error|critical"))
    both = ("severity", "=", "error"), ("run_name", "!=", "gpt-small")
    assert "<strong>2</strong>" in preview(day, *both)
    assert "covers no alert" in preview(day, ("run_name", "=", "vit-b16"))
    assert "<strong>1</strong>" in preview(day, ("run_name", "=", "vit-b16"), project="vision")
    assert "Say what it shall cover" in preview(day, ("cause", "=", ""))
    assert "has no ( before it" in preview(day, ("cause", "=~", "a)"))
