"""Working off alerts in a real Chromium: seen, selected, acknowledged, silenced, told of news."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from gradwatch_service.store.database import make_engine
from tests.browser.conftest import SCHEMES, SIZES, OpenTab, Tab
from tests.servers import Server
from tests.troubled import a_bad_day

RNN = "explosion-through-time"
NAN = {"step": 41, "loss": "NaN", "grad_norm": "NaN"}


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a bad day; no worker adds to it."""
    folder = tmp_path_factory.mktemp("alerts")
    shutil.copy(sqlite_template, folder / "gradwatch.db")
    url = f"sqlite:///{folder}/gradwatch.db"
    engine = make_engine(url)
    a_bad_day(engine)
    engine.dispose()
    quiet = {"GRADWATCH_EMBEDDED_WORKER": "false"}
    server = Server(url, folder / "server.log", environment=quiet).start()
    yield server
    server.kill()


def alert_of(site: Server, **wanted: str) -> dict[str, Any]:
    items = httpx.get(f"{site.api}/alerts", params=wanted).json()["items"]
    found: dict[str, Any] = items[0]
    return found


def row(tab: Tab, run: str) -> Locator:
    return tab.page.locator(".alert", has=tab.page.get_by_role("link", name=run, exact=True))


def top(place: Locator) -> float:
    """Where it is on the screen."""
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def is_fine(tab: Tab, name: str) -> None:
    tab.shoot(name)
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_list_is_usable_by_everybody(site: Server, open_tab: OpenTab, size: str, scheme: str):
    tab = open_tab(site.url, "/alerts", size, scheme)
    expect(row(tab, "char-rnn-12")).to_contain_text("Explosion through time")
    is_fine(tab, f"alerts-{size}-{scheme}")


@pytest.mark.parametrize(
    ("name", "path", "size", "scheme"),
    [
        ("alert", "/alerts/{id}", "desktop", "light"),
        ("alert", "/alerts/{id}", "phone", "dark"),
        ("alerts-by-run", "/alerts?group=run&state=all", "desktop", "dark"),
        ("silences", "/alerts/silences", "desktop", "dark"),
        ("silences", "/alerts/silences", "phone", "light"),
        ("handbook", f"/handbook/{RNN}", "phone", "light"),
    ],
)
def test_the_pages_beside_it_are_usable_by_everybody(
    site: Server, open_tab: OpenTab, name: str, path: str, size: str, scheme: str
):
    found = alert_of(site, cause=RNN, state="firing")
    tab = open_tab(site.url, path.format(**found), size, scheme)
    expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
    is_fine(tab, f"{name}-{size}-{scheme}")


def test_alerts_are_worked_off_by_keyboard(site: Server, open_tab: OpenTab):
    tab = open_tab(site.url, "/alerts")
    page = tab.page
    page.get_by_placeholder("Comment").fill("looking")
    page.get_by_placeholder("Your name").fill("carla")
    page.get_by_role("heading", level=1).click()
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
    expect(row(tab, "char-rnn-12").locator(".title")).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#chosen")).to_have_text("1 selected")
    page.keyboard.press("a")
    expect(row(tab, "char-rnn-12")).to_contain_text("acknowledged")
    expect(row(tab, "char-rnn-12")).to_contain_text("by carla")
    expect(row(tab, "char-rnn-12").locator(".title")).to_be_focused()
    expect(page.locator("#said")).to_have_text("1 alert acknowledged.")
    expect(page.locator("#chosen")).to_have_text("Select all")
    found = alert_of(site, cause=RNN, state="acknowledged")
    assert (found["acknowledged_by"], found["comment"]) == ("carla", "looking")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(found["title"])
    expect(page.locator(".story")).to_contain_text("Acknowledged by carla")


def test_keys_of_the_list_can_be_switched_off_and_leave_those_of_all_pages_alone(
    site: Server, open_tab: OpenTab
):
    page = open_tab(site.url, "/alerts").page
    page.keyboard.press("j")
    page.keyboard.press("g")
    with page.expect_navigation(url="**/alerts"):
        page.keyboard.press("a")
    expect(page.locator("#said")).to_be_empty()
    page.get_by_text("Keyboard", exact=True).click()
    page.get_by_label("Keys act on this page").uncheck()
    page.keyboard.press("j")
    expect(page.locator(".alert :focus")).to_have_count(0)


def test_what_is_refused_says_why_and_stays_as_it_was(site: Server, open_tab: OpenTab):
    tab = open_tab(site.url, "/alerts?state=resolved")
    over = row(tab, "char-rnn-7")
    over.get_by_role("checkbox").check()
    with tab.page.expect_response("**/acknowledge") as answer:
        tab.page.get_by_role("button", name="Acknowledge").click()
    assert answer.value.status == 409
    expect(over.get_by_role("alert")).to_contain_text("Refused: ")
    expect(over.locator(".state")).to_have_text("resolved")
    expect(over.get_by_role("checkbox")).to_be_checked()
    tab.errors.clear()  # Chromium notes every 409


def test_many_are_silenced_at_once_and_the_silence_is_taken_back(site: Server, open_tab: OpenTab):
    tab = open_tab(site.url, "/alerts?least=error&project=lm")
    page, both = tab.page, ("gpt-large", "gpt-small")
    for run in both:
        row(tab, run).get_by_role("checkbox").check()
    page.get_by_label("Silence for how long").select_option("1d")
    page.get_by_role("button", name="Silence").click()
    for run in both:
        expect(row(tab, run).get_by_text("silenced", exact=True)).to_be_visible()
    expect(page.locator("#said")).to_contain_text("2 alerts silenced.")
    page.get_by_role("button", name="Undo").click()
    for run in both:
        expect(row(tab, run).get_by_text("silenced", exact=True)).to_have_count(0)
    expect(page.locator("#said")).to_have_text("Undone: people are told again.")


def test_rows_come_and_change_while_somebody_works(site: Server, open_tab: OpenTab):
    tab = open_tab(site.url, "/alerts", "phone")
    page = tab.page
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    mine = row(tab, "gpt-small")
    mine.get_by_role("checkbox").check()
    mine.locator(".title").focus()
    before = top(mine)
    assert page.evaluate("scrollY") > 0
    with httpx.Client(base_url=site.api) as http:
        run = http.post("/runs", json={"project": "lm", "name": "fresh"}).json()["id"]
        steps = [{"step": step, "loss": 1.0, "grad_norm": 1.0} for step in range(40)]
        http.post(f"/runs/{run}/steps", json={"steps": [*steps, NAN]}).raise_for_status()
        expect(row(tab, "fresh")).to_have_count(1)
        expect(page.locator("#said")).to_contain_text("New: ")
        expect(mine.get_by_role("checkbox")).to_be_checked()
        expect(mine.locator(".title")).to_be_focused()
        assert top(mine) == pytest.approx(before, abs=1)
        (found,) = http.get("/alerts", params={"run": run}).json()["items"]
        http.post(f"/alerts/{found['id']}/resolve", json={}).raise_for_status()
    expect(row(tab, "fresh").locator(".state")).to_have_text("resolved")
    expect(page.locator("#states [aria-current]")).to_have_text("Open 7")


def test_filters_make_a_short_address_and_work_without_scripts(site: Server, open_tab: OpenTab):
    page = open_tab(site.url, "/alerts").page
    page.get_by_label("Severity").select_option("warning")
    page.get_by_label("Only what needs somebody").check()
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(f"{site.url}/alerts?least=warning&actionable=1")
    plain = open_tab(site.url, "/alerts", java_script_enabled=False).page
    plain.get_by_label("Project").select_option("vision")
    plain.get_by_role("button", name="Filter").click()
    expect(plain.locator(".alert .run")).to_have_text(["resnet-9", "vit-b16"])


def test_a_silence_is_tried_out_made_and_ended(site: Server, open_tab: OpenTab):
    page = open_tab(site.url, "/alerts/silences").page
    page.get_by_label("Project").select_option("vision")
    page.get_by_label("Value").fill("dead-units")
    expect(page.locator("#preview")).to_contain_text("Units are dead")
    page.get_by_role("button", name="And…").click()
    page.get_by_label("What").last.select_option("run_name")
    page.get_by_label("Value").last.fill("nothing")
    expect(page.locator("#preview")).to_contain_text("covers no alert")
    page.get_by_role("button", name="Remove this line").last.click()
    expect(page.locator("#preview")).to_contain_text("Units are dead")
    page.get_by_label("Why").fill("it is a toy")
    page.get_by_role("button", name="Silence", exact=True).click()
    made = page.locator(".silences li", has_text="it is a toy")
    made.get_by_role("button", name="End now").click()
    expect(made).to_contain_text("ended")
    expect(made.get_by_role("button")).to_have_count(0)


def test_an_alert_is_resolved_on_its_page(site: Server, open_tab: OpenTab):
    found = alert_of(site, cause="plateau")
    page = open_tab(site.url, f"/alerts/{found['id']}").page
    page.get_by_placeholder("Comment").fill("it may rest")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".standing")).to_contain_text("resolved")
    expect(page.locator(".story li").first).to_contain_text("it may rest")
    expect(page.locator("#said")).to_have_text("1 alert resolved.")
