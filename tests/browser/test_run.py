"""The run's page in a browser: looked at in every size, acted on, and live."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests import told
from tests.browser.conftest import SCHEMES, SIZES, OpenTab
from tests.e2e import explosion
from tests.servers import Server


@dataclass(frozen=True)
class Place:
    """A server with a dying run that nobody changes, and what makes others."""

    server: Server
    http: httpx.Client
    dying: str

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return self.http.post(path, json=body)

    def put(self, path: str, body: bytes) -> httpx.Response:
        return self.http.put(path, content=body, headers=told.MSGPACK)

    def alert(self, run: str) -> dict[str, Any]:
        """Its gravest open alert."""
        found = self.http.get("/alerts", params={"run": run}).json()["items"]
        order = ("critical", "error", "warning", "info")
        return min(
            found, key=lambda one: (one["state"] == "resolved", order.index(one["severity"]))
        )


@pytest.fixture(scope="module")
def place(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(sqlite_template, folder / "gradwatch.db")
    server = Server(f"sqlite:///{folder}/gradwatch.db", folder / "server.log").start()
    with httpx.Client(base_url=server.api, timeout=30, trust_env=False) as http:
        ready = Place(server, http, "")
        yield Place(server, http, told.exploding(ready.post, ready.put))
    server.kill()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_a_dying_run_can_be_read_by_everybody(
    place: Place, open_tab: OpenTab, size: str, scheme: str
):
    tab = open_tab(place.server.url, f"/runs/{place.dying}", size, scheme)
    page = tab.page
    expect(page.get_by_role("heading", name="The learning rate is too high")).to_be_visible()
    first = page.locator(".advice .tip").first
    expect(first.get_by_role("heading")).to_have_text(re.compile("Multiply the learning rate by"))
    tab.shoot(f"run-{size}-{scheme}-folded")
    page.evaluate("document.querySelectorAll('#run details').forEach(one => one.open = !!one.id)")
    page.evaluate("document.getElementById('run-menu').open = false")
    tab.shoot(f"run-{size}-{scheme}")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()


def test_a_link_to_an_alert_finds_it_unfolded(place: Place, open_tab: OpenTab):
    page = open_tab(place.server.url, f"/runs/{place.dying}").page
    other = page.locator("details.alert").first
    name = str(other.get_attribute("id"))
    assert other.get_attribute("open") is None
    linked = open_tab(place.server.url, f"/runs/{place.dying}#{name}").page
    expect(linked.locator(f"#{name}")).to_have_attribute("open", "")
    expect(linked.locator(f"#{name}")).to_be_in_viewport()


KINDS: Mapping[str, tuple[str, Callable[[Place], str]]] = {
    "healthy": ("Healthy at step 479", lambda place: told.healthy(place.post, place.put)),
    "nan": ("since step 40", lambda place: told.broken(place.post)),
    "wide": ("since step 40", lambda place: told.wide(place.post, place.put)),
    "empty": ("Nothing reported yet", lambda place: told.opened(place.post, "new")),
    "compared": (
        "Healthy at step 479",
        lambda place: f"{told.healthy(place.post, place.put)}?with={place.dying}",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_a_verdict_and_fits_a_phone(
    place: Place, open_tab: OpenTab, kind: str
):
    sentence, make = KINDS[kind]
    tab = open_tab(place.server.url, f"/runs/{make(place)}", "phone")
    expect(tab.page.locator("#verdict")).to_contain_text(sentence)
    tab.shoot(f"run-{kind}-phone")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()


def test_an_alert_is_silenced_acknowledged_and_resolved(place: Place, open_tab: OpenTab):
    run = told.broken(place.post, "acted on")
    page = open_tab(place.server.url, f"/runs/{run}").page
    lead = page.locator("#run-lead")
    lead.get_by_label("Silence", exact=False).first.select_option("1 day")
    lead.get_by_role("button", name="Silence").click()
    expect(page.locator("#said")).to_have_text(re.compile("Silenced for a day"))
    (silence,) = place.http.get("/silences", params={"project": "lm"}).json()["items"]
    assert {one["name"]: one["value"] for one in silence["matchers"]} == {
        "run": run,
        "cause": place.alert(run)["cause"],
    }
    lead.get_by_placeholder("Comment").fill("on it")
    lead.get_by_role("button", name="Acknowledge").click()
    expect(lead.locator(".standing")).to_contain_text("acknowledged by")
    expect(page.locator("#said")).to_have_text(re.compile("^Acknowledged"))
    assert place.alert(run)["comment"] == "on it"
    lead.get_by_role("button", name="Resolve").click()
    expect(page.locator("#over")).to_be_visible()
    assert place.alert(run)["state"] == "resolved"


def test_what_is_refused_says_why(place: Place, open_tab: OpenTab):
    run = told.broken(place.post, "refused")
    tab = open_tab(place.server.url, f"/runs/{run}")
    button = tab.page.get_by_role("button", name="Acknowledge")
    tab.page.route("**/acknowledge", lambda route: route.abort())
    button.click()
    expect(tab.page.get_by_role("alert")).to_have_text("The service does not answer; try again.")
    expect(button).to_be_enabled()
    assert [one for one in tab.errors if "ERR_FAILED" not in one] == []
    tab.errors.clear()  # the browser's own word on the request that got no answer


def test_advice_is_handed_to_the_job_and_its_answer_shows(place: Place, open_tab: OpenTab):
    run = told.exploding(place.post, place.put, "handed")
    page = open_tab(place.server.url, f"/runs/{run}").page
    item = place.alert(run)["advice"][0]
    tip = page.locator(f"#advice-{item['id']}")
    tip.get_by_role("button", name="Hand to the job").click()
    expect(tip).to_contain_text("handed to the job by local: it answers with one of its next")
    expect(tip.get_by_role("button", name="Hand to the job")).to_be_disabled()
    assert place.http.get(f"/runs/{run}/advice").json()["items"][0]["handed_by"] == "local"
    said = {"kind": "advice", "id": item["id"], "action": item["action"], "step": told.UNTIL}
    words = f"{item['title']}: this job runs with autopilot=1, this needs 2"
    event = said | {"status": "declined", "text": words}
    place.post(f"/runs/{run}/events", {"events": [event]})
    more = explosion.part(explosion.report_all(), told.UNTIL, explosion.STEPS)
    told.push(place.put, run, 2, more)
    expect(page.locator(".deeds").first).to_contain_text("this job runs with autopilot=1")


def test_the_code_is_copied(place: Place, open_tab: OpenTab):
    tab = open_tab(
        place.server.url,
        f"/runs/{place.dying}",
        permissions=["clipboard-read", "clipboard-write"],
    )
    tab.page.get_by_role("button", name="Copy code").first.click()
    expect(tab.page.locator("#said")).to_have_text("Copied.")
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == place.alert(place.dying)["advice"][0]["code"]


def test_what_changes_is_shown_and_announced(place: Place, open_tab: OpenTab):
    run = told.opened(place.post, "live", layers=told.layers_of(explosion.TABLE))
    whole = explosion.report_all()
    told.push(place.put, run, 0, explosion.part(whole, 0, 50))
    page = open_tab(place.server.url, f"/runs/{run}").page
    expect(page.locator("#verdict")).to_be_visible()
    told.push(place.put, run, 1, explosion.part(whole, 50, 90))
    expect(page.locator("#run-head")).to_contain_text("89")
    told.push(place.put, run, 2, explosion.part(whole, 90, told.UNTIL))
    expect(page.locator("#said")).to_have_text(
        re.compile("^Now: The learning rate is too high since step 60")
    )
    expect(page.locator("#said")).to_have_attribute("role", "status")
    assert page.locator("#run-head").inner_text().count("critical") == 1


def test_what_somebody_is_writing_stays_while_reports_come_in(place: Place, open_tab: OpenTab):
    run = told.broken(place.post, "being read")
    page = open_tab(place.server.url, f"/runs/{run}").page
    comment = page.locator("#run-lead").get_by_placeholder("Comment")
    comment.fill("looking at it")
    fold = page.locator("#run-more details.past")
    fold.locator("summary").click()
    page.evaluate("document.getElementById('run-lead').marked = true")
    place.post(f"/runs/{run}/steps", {"steps": [{"step": 51, "loss": "NaN"}]})
    expect(page.locator("#run-head")).to_contain_text("51")
    expect(comment).to_have_value("looking at it")
    expect(fold).to_have_attribute("open", "")
    assert page.evaluate("document.getElementById('run-lead').marked")  # not exchanged in vain


def test_a_run_is_renamed_tagged_ended_and_deleted_by_keyboard(place: Place, open_tab: OpenTab):
    run = told.healthy(place.post, place.put, "mine")
    tab = open_tab(place.server.url, f"/runs/{run}")
    page = tab.page
    choose(page, "Rename")
    page.get_by_label("New name").fill("ours")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("ours")
    choose(page, "Tags")
    page.get_by_label("Tags, with commas").fill("a, b ,a,")
    page.keyboard.press("Enter")
    expect(page.locator("#run-head")).to_contain_text("#b")
    choose(page, "Mark as ended")
    page.get_by_label("Reason").fill("out of memory")
    page.get_by_role("button", name="Mark as ended").click()
    expect(page.locator("#verdict")).to_contain_text("Failed at step 479")
    found = place.http.get(f"/runs/{run}").json()
    assert (found["name"], found["tags"], found["state"]) == ("ours", ["a", "b"], "failed")
    choose(page, "Delete")
    expect(page.get_by_role("dialog")).to_contain_text("Delete “ours”?")
    page.keyboard.press("Escape")
    assert place.http.get(f"/runs/{run}").status_code == 200
    choose(page, "Delete")
    page.get_by_role("button", name="Delete “ours”").click()
    page.wait_for_url("**/")
    assert place.http.get(f"/runs/{run}").status_code == 404
    tab.errors[:] = [
        one for one in tab.errors if not ("404" in one or run in one)
    ]  # read meanwhile


def choose(page: Page, name: str) -> None:
    """An entry of the menu, without a mouse."""
    page.locator("#run-menu > summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")
