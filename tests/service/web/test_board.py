"""The board without a browser: order, filters, fragments, and what an empty one says."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from gradwatch_service.clock import utc_now
from gradwatch_service.store.keys import Admin, KeyRequest, create
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.tables import runs
from gradwatch_service.web import words
from gradwatch_service.web.listing import PAGE_ROWS
from gradwatch_service.web.progress import total_steps
from tests.service.api.conftest import Api, served

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Four runs, of which one dies; a fifth has said nothing yet."""
    with served(tmp_path_factory.mktemp("board")) as running:
        report(running, "healthy", tags=["sweep", 'a "quoted", one'], config={"max_steps": 200})
        report(running, "dying", dies=True, tags=["sweep"])
        ended = report(running, "ended", project="vision", tags=["sweep-2"])
        assert running.post(f"{ended}/finish", {"state": "finished"}).status_code == 200
        report(running, "looked after", project="vision", dies=True)
        running.new_run(project="lm", name="silent <b>bold</b>")
        alert = alerts_of(running, "looked after")[0]
        path = f"/alerts/{alert['id']}/acknowledge"
        assert running.post(path, {"by": "Ada"}).status_code == 200
        yield running


def report(api: Api, name: str, *, project: str = "lm", dies: bool = False, **fields: Any) -> str:
    run = api.new_run(project=project, name=name, **fields)
    norms = [1.0, 2.0, "NaN" if dies else 2.0]
    steps = [
        {"step": step, "loss": 1.0, "layers": {"fc1": {"grad_norm": norm}}}
        for step, norm in enumerate(norms)
    ]
    assert api.post(f"{run}/steps", {"steps": steps}).status_code == 201
    api.get(run)  # returns when all is judged
    return run


def alerts_of(api: Api, name: str) -> list[dict[str, Any]]:
    runs = {run["id"]: run["name"] for run in api.get("/runs").json()["items"]}
    found = api.get("/alerts", state="firing").json()["items"]
    return [alert for alert in found if runs[alert["run_id"]] == name]


def shown(api: Api, path: str = "/", **query: str) -> str:
    answer = api.send("GET", f"http://test{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.text


def names(html: str) -> list[str]:
    return re.findall(r'class="c-name"><a href="/runs/[^"]+">([^<]+)</a>', html)


def test_runs_that_fire_come_first_then_health_decides(api: Api):
    assert names(shown(api))[:2] == ["dying", "looked after"]
    assert set(names(shown(api))[2:]) == {"healthy", "ended", "silent &lt;b&gt;bold&lt;/b&gt;"}


def test_a_firing_alert_says_which_run_what_why_where_and_since_when(api: Api):
    page = shown(api)
    (alert,) = alerts_of(api, "dying")
    card = re.search(rf'<li class="alert" id="a-{alert["id"]}".*?</li>', page, re.DOTALL)
    assert card
    for expected in ("dying", alert["title"], "<code>fc1</code>", "step 2", ">error<"):
        assert expected in card[0]
    assert f'href="/runs/{alert["run_id"]}"' in card[0]
    assert "<title>(1) Board" in page


def test_an_acknowledged_alert_stands_apart_with_the_one_who_looks_after_it(api: Api):
    loud, quiet = shown(api).split('<h3 class="quiet-title">')
    assert "looked after" not in loud
    assert "Ada looks after it" in quiet


def test_a_silenced_alert_stands_apart_too(tmp_path: Path):
    with served(tmp_path) as api:
        report(api, "known", dies=True)
        matchers = [{"name": "run_name", "value": "known"}]
        body = {"project": "lm", "matchers": matchers, "duration": "1h"}
        assert api.post("/silences", body).status_code == 201
        page = shown(api)
        assert "What fires calls for nobody" in page
        assert "· silenced ·" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"project": "vision"}, {"ended", "looked after"}),
        ({"tag": "sweep"}, {"healthy", "dying"}),
        ({"tag": 'a "quoted", one'}, {"healthy"}),
        ({"health": "critical"}, {"dying", "looked after"}),
        ({"state": "finished"}, {"ended"}),
        ({"q": "D"}, {"dying", "ended", "looked after", "silent &lt;b&gt;bold&lt;/b&gt;"}),
        ({"q": "%"}, set()),
        ({"project": "lm", "health": "critical"}, {"dying"}),
        ({"project": "", "tag": "", "health": "", "state": "finished", "q": ""}, {"ended"}),
    ],
)
def test_the_address_filters_without_any_script(api: Api, query, expected):
    assert set(names(shown(api, **query))) == expected
    assert set(names(shown(api, "/board/runs", **query))) == expected


def test_the_form_shows_what_is_asked_for(api: Api):
    page = shown(api, health="critical", q='"x"')
    assert "<option selected>critical</option>" in page
    assert 'value="&#34;x&#34;"' in page
    assert "No run is like that" in page


def test_choices_that_are_none_are_refused(api: Api):
    answer = api.send("GET", "http://test/", params={"health": "fine"})
    assert answer.status_code == 422


def test_the_fragment_of_rows_holds_those_asked_for_that_the_filters_let_through(api: Api):
    ids = {run["name"]: run["id"] for run in api.get("/runs").json()["items"]}
    asked = [ids["dying"], ids["healthy"], str(uuid.uuid4())]
    query = {"run": asked, "health": "critical"}
    answer = api.send("GET", "http://test/board/rows", params=query)
    assert names(answer.text) == ["dying"]
    assert "<html" not in answer.text


def test_progress_is_measured_by_the_steps_the_job_announced(api: Api):
    row = re.search(r'">healthy</a>.*?</tr>', shown(api), re.DOTALL)
    assert row
    assert '<progress max="200" value="2"' in row[0]
    assert total_steps({"total_steps": 7}) == 7
    assert total_steps({"max_steps": True, "steps": -1, "num_steps": "9"}) is None


def test_the_wall_has_nothing_to_click(api: Api):
    page = shown(api, wall="1")
    board = page[page.index('<div id="board"') : page.index("</main>")]
    assert "dying" in board
    for interactive in ("<a ", "<button", "<select", "<input"):
        assert interactive not in board


def test_an_empty_board_says_how_to_send_the_first_run(tmp_path: Path):
    with served(tmp_path) as api:
        page = shown(api)
        assert 'gradwatch.init(project="my-project", url="http://test")' in page
        assert "API=http://test/api/v1" in page
        assert "make demo" in page
        api.new_run(project="p", name="first")
        assert names(shown(api)) == ["first"]


def test_beyond_a_thousand_runs_there_is_a_next_page(tmp_path: Path):
    with served(tmp_path) as api:

        def fill(connection: Connection) -> None:
            create_or_resume_run(connection, RunRequest(uuid.uuid4(), "p", "run 0"), NOW)
            first = connection.execute(sa.select(runs)).one()._asdict()
            more = (
                {"run_id": uuid.uuid4(), "name": f"run {n}", "last_seen_at": NOW + SECOND * n}
                for n in range(1, PAGE_ROWS + 1)
            )
            connection.execute(sa.insert(runs), [first | one for one in more])

        api.app.state.backend.write(fill)
        first, last = shown(api, q="run"), shown(api, q="run", page="2")
        assert (len(names(first)), names(last)) == (PAGE_ROWS, ["run 0"])
        assert '<span id="shown" class="number">1,001</span>' in first
        assert 'rel="next" href="/?q=run&amp;page=2"' in first
        assert 'rel="prev" href="/?q=run"' in last
        assert 'rel="next"' not in last


def test_a_key_shows_the_runs_alerts_and_choices_of_its_own_project_only(tmp_path: Path):
    with served(tmp_path) as api:
        report(api, "ours", project="a", dies=True, tags=["mine"])
        report(api, "theirs", project="b", dies=True, tags=["foreign"])
        now = utc_now()
        request = KeyRequest("a", "k", ("read",), now + dt.timedelta(days=1))
        backend = api.app.state.backend
        issued = backend.write(lambda c: create(c, request, Admin("test", None, now)))
        headers = {"authorization": f"Bearer {issued.text}"}
        for path in ("/", "/board/alerts", "/board/runs"):
            page = api.send("GET", f"http://test{path}", headers=headers).text
            assert "ours" in page
            assert "theirs" not in page
            assert "foreign" not in page
        theirs = next(r["id"] for r in api.get("/runs").json()["items"] if r["name"] == "theirs")
        query = {"run": theirs}
        rows = api.send("GET", "http://test/board/rows", headers=headers, params=query)
        assert rows.text.strip() == ""
        other = api.send("GET", "http://test/", headers=headers, params={"project": "b"})
        assert other.status_code == 404


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7_300, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_ages_are_told_in_one_unit(seconds, said):
    assert words.ago(NOW - dt.timedelta(seconds=seconds), NOW) == said
