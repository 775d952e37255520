"""The run's page without a browser: what it says of runs in every state, and to whom."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests import told
from tests.service.api.conftest import Api, served
from tests.tenants import Keyring, bearer

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("run")) as running:
        yield running


@pytest.fixture(scope="module")
def dying(api: Api) -> str:
    return told.exploding(api.post, api.put)


def shown(api: Api, path: str, status: int = 200, **headers: str) -> str:
    """The words of a page, in one line."""
    answer = api.send("GET", f"http://test{path}", headers={**HTML, **headers})
    assert answer.status_code == status, answer.text
    return words(answer.text)


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", html))).replace(" .", ".")


def markup(api: Api, path: str) -> str:
    return api.send("GET", f"http://test{path}", headers=HTML).text


def lead(api: Api, run: str) -> dict[str, Any]:
    found = api.get("/alerts", run=run, severity="critical").json()["items"]
    return dict(found[0])


def test_a_dying_run_says_what_since_when_where_why_and_what_to_do(api: Api, dying: str):
    page = shown(api, f"/runs/{dying}")
    alert = lead(api, dying)
    first = alert["layers"][0]
    assert f"The learning rate is too high since step 60, first in {first}." in page
    assert alert["explanation"] in page
    assert alert["advice"][0]["title"] in page
    assert alert["advice"][0]["code"].splitlines()[0] in page
    assert "Hand to the job" in page
    assert "Most likely: Learning rate too high" in page
    assert "Second guess: Explosion through time" in page
    assert "139 35 %" in page  # of the steps it is to make
    assert "dataset" not in page
    assert "model.width 64" in page.replace("model.width64", "model.width 64")


def test_the_charts_come_right_after_what_to_do(api: Api, dying: str):
    page = markup(api, f"/runs/{dying}")
    places = [page.index(one) for one in ('id="run-lead"', 'id="charts"', 'id="run-more"')]
    assert places == sorted(places)
    assert f'data-run="{dying}"' in page


def test_the_parts_are_those_of_the_page(api: Api, dying: str):
    page, parts = markup(api, f"/runs/{dying}"), markup(api, f"/runs/{dying}/parts")
    assert "<html" not in parts
    for part in ("run-head", "run-lead", "run-more"):
        start = f'id="{part}"'
        assert cut(page, start) == cut(parts, start)


def cut(page: str, start: str) -> str:
    return page[page.index(start) :][:600]


def test_a_healthy_run_says_so_and_asks_for_nothing(api: Api):
    page = shown(api, f"/runs/{told.healthy(api.post, api.put)}")
    assert "Healthy at step 479." in page
    assert "Nothing unusual was seen: no alert so far." in page
    assert "What to do now" not in page
    assert "Acknowledge" not in page


def test_a_run_that_has_reported_nothing_says_what_it_waits_for(api: Api):
    page = shown(api, f"/runs/{told.opened(api.post, 'new')}")
    assert "Nothing reported yet. It is waiting for the job's first step." in page
    assert "none reported" in page
    assert "The job sent no config." in page


def test_a_run_without_layers_that_is_not_a_number_is_shown(api: Api):
    page = shown(api, f"/runs/{told.broken(api.post)}")
    assert "since step 40" in page
    assert "NaN" in page


def test_a_run_of_300_layers_names_the_first_and_at_most_seven_more(api: Api):
    run = told.wide(api.post, api.put)
    page = markup(api, f"/runs/{run}")
    assert len(page) < 100_000
    named = set(re.findall(r"blocks\.\d+\.weight", page))
    assert 1 <= len(named) <= 16


def test_what_was_resolved_is_folded_and_says_by_whom(api: Api):
    run = told.broken(api.post, "mended")
    alert = api.get("/alerts", run=run).json()["items"][0]
    api.post(f"/alerts/{alert['id']}/resolve", {"by": "ada", "comment": "bad batch"})
    page = shown(api, f"/runs/{run}")
    assert "says ada" in page
    assert "Over by ada, step 47" in page
    assert "bad batch" in page


def test_what_came_of_the_advice_is_told_beside_the_alert(api: Api):
    run = told.exploding(api.post, api.put, "told")
    item = lead(api, run)["advice"][0]
    assert api.post(f"/runs/{run}/advice/{item['id']}/hand", {}).status_code == 200
    waiting = shown(api, f"/runs/{run}")
    assert "handed to the job by local: it answers with one of its next reports." in waiting
    said = {"kind": "advice", "id": item["id"], "action": item["action"]}
    steps = (("applied", 140, ""), ("failed", 204, "not update_ratio < 0.015"))
    events = [said | {"status": one, "step": step, "text": text} for one, step, text in steps]
    api.post(f"/runs/{run}/events", {"events": events})
    after = shown(api, f"/runs/{run}")
    assert f"{item['title']}: it did not help" in after
    assert "step 140 applied" in after
    assert "step 204 failed not update_ratio < 0.015" in after
    assert "handed to the job by" not in after


def test_two_runs_are_compared_by_what_differs_in_their_configs(api: Api, dying: str):
    other = told.healthy(api.post, api.put, "the other")
    page = shown(api, f"/runs/{dying}?with={other}")
    assert "Compared with the other" in page
    assert re.search(r"lr\s*0\.1\s*0\.001", page)
    same = told.healthy(api.post, api.put, "twin")
    assert "The configs are the same." in shown(api, f"/runs/{other}?with={same}")
    for odd in (str(uuid.uuid4()), "x"):
        shown(api, f"/runs/{dying}?with={odd}", 404)


def test_names_are_text_and_never_markup(api: Api):
    sharp = "<img src=x onerror=alert(1)>"
    run = told.opened(api.post, sharp, tags=[sharp], config={sharp: sharp})
    page = markup(api, f"/runs/{run}")
    assert "<img src=x" not in page
    assert sharp in unescape(page)


def test_who_may_only_read_is_told_so_and_has_nothing_to_press(tmp_path: Path):
    with served(tmp_path, require_key=True) as keyed:
        ring = Keyring(keyed.app.state.backend.engine)
        admin, reader, foreign = (
            bearer(ring.issue(project, scope).text)
            for project, scope in (("lm", "admin"), ("lm", "read"), ("other", "read"))
        )
        keyed.client.headers.update(admin)
        run = told.exploding(keyed.post, keyed.put)
        mine = keyed.send("GET", f"http://test/runs/{run}", headers=HTML).text
        theirs = keyed.send("GET", f"http://test/runs/{run}", headers=HTML | reader).text
        assert 'data-act="acknowledge"' in mine
        assert '<dialog id="dialog-rename' in mine
        assert "data-act=" not in theirs
        assert '<dialog id="dialog-rename' not in theirs
        assert "handing needs the scope admin" in theirs
        for path in (f"/runs/{run}", f"/runs/{run}/parts"):
            shown(keyed, path, 404, **foreign)
        own = told.opened(
            lambda path, body: keyed.post(path, body, **bearer(ring.issue("other", "ingest").text)),
            "theirs",
            project="other",
        )
        shown(keyed, f"/runs/{own}?with={run}", 404, **foreign)
