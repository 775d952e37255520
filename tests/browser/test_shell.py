"""What every page has: themes, times, the keyboard, news as it comes, and errors that help."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCHEMES, SIZES, OpenTab, Tab
from tests.servers import Server, poll
from tests.tenants import EXPLODING

LISTEN = """async () => {
  const shell = document.querySelector('script[src*="shell.js"]').src;
  const { listen } = await import(shell.replace("shell.js", "live.js"));
  window.heard = { runs: [], alerts: [], resets: 0, other: [] };
  window.stops = [
    listen({ runs: (some) => heard.runs.push(...some), alerts: (some) => heard.alerts.push(...some),
             reset: () => { heard.resets += 1; } }),
    listen({ project: "other", runs: (some) => heard.other.push(...some) }),
  ];
}"""
TIMES = """async () => {
  const shell = document.querySelector('script[src*="shell.js"]').src;
  const { relative } = await import(shell.replace("shell.js", "times.js"));
  return [0, 12, 90, 7200, 200000, -30].map((seconds) => relative(0, seconds * 1000));
}"""
ADD_TIME = """(text) => {
  const element = document.createElement("time");
  element.dateTime = text;
  document.querySelector("main").append(element);
}"""


@pytest.fixture(scope="module")
def open_server(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server in local mode."""
    folder = tmp_path_factory.mktemp("shell")
    shutil.copy(sqlite_template, folder / "gradwatch.db")
    running = Server(f"sqlite:///{folder}/gradwatch.db", folder / "server.log").start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def http(open_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_server.api, trust_env=False) as client:
        yield client


def test_a_theme_can_be_chosen_and_is_kept(open_server: Server, open_tab: OpenTab):
    tab = open_tab(open_server.url, "/settings", scheme="light")
    page = tab.page
    theme = page.get_by_role("button", name="Theme: system. Change to light")
    theme.click()
    page.get_by_role("button", name="Theme: light. Change to dark").click()
    tab.goto("/settings")
    page.get_by_role("button", name="Theme: dark. Change to system").wait_for()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


def test_the_keyboard_leads_everywhere(open_server: Server, open_tab: OpenTab):
    tab = open_tab(open_server.url, "/")
    page = tab.page
    for key, path in (("a", "/alerts"), ("s", "/settings"), ("b", "/")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"{open_server.url}{path}")
        page.locator('#theme[aria-label^="Theme: "]').wait_for()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    dialog.wait_for()
    tab.shoot("shortcuts-desktop-light", full=False)
    assert tab.violations() == []
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.evaluate(
        'document.querySelector("main").insertAdjacentHTML("beforeend", "<input type=search>")'
    )
    page.keyboard.press("/")
    page.keyboard.type("g a?")
    assert page.locator("main input:not([name])").input_value() == "g a?"
    assert page.url == f"{open_server.url}/"


def test_times_are_said_as_people_say_them(open_server: Server, open_tab: OpenTab):
    page = open_tab(open_server.url, "/settings").page
    said = page.evaluate(TIMES)
    assert said == ["now", "12 s ago", "1 min ago", "2 h ago", "2 d ago", "in 30 s"]
    page.evaluate(ADD_TIME, "2026-01-01T00:00:00Z")
    shown = page.locator("main time")
    until(page, "document.querySelector('main time').textContent.endsWith(' d ago')")
    assert "2026" in (shown.get_attribute("title") or "")


def test_news_comes_to_an_open_page_and_after_an_outage(
    open_server: Server, http: httpx.Client, open_tab: OpenTab
):
    tab = open_tab(open_server.url, "/settings")
    page = tab.page
    page.evaluate(LISTEN)
    page.locator('#live[data-state="on"]').wait_for()
    run = new_run(http)
    assert http.post(f"/runs/{run}/steps", json=EXPLODING).status_code == 201
    assert "gradwatch_live_streams 1.0" in metrics(open_server)  # one for both that listen
    until(page, "heard.alerts.length > 0 && heard.runs.at(-1).open_alerts === 1")
    assert page.evaluate("heard.runs.at(-1).id") == run
    open_server.stop()
    page.locator('#live[data-state="lost"]').wait_for()
    open_server.start()
    page.locator('#live[data-state="on"]').wait_for(timeout=60_000)
    assert http.patch(f"/runs/{run}", json={"name": "mended"}).status_code == 200
    until(page, "heard.runs.at(-1).name === 'mended'")
    until(page, "heard.resets > 0")  # the new process knows nothing of before
    assert page.evaluate("heard.other") == []
    page.evaluate("stops.forEach((stop) => stop())")
    page.locator('#live[data-state="off"]').wait_for()
    poll(lambda: "gradwatch_live_streams 0.0" in metrics(open_server), "the connection is closed")
    assert all("ERR_" in error for error in tab.errors)  # the outage
    tab.errors.clear()


def until(page: Page, condition: str) -> None:
    """The page's own policy forbids what Playwright waits with."""
    poll(lambda: bool(page.evaluate(condition)), condition)


def new_run(http: httpx.Client) -> str:
    return str(http.post("/runs", json={"project": "lm"}).json()["id"])


def metrics(server: Server) -> str:
    return httpx.get(f"{server.url}/metrics", trust_env=False).text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_error_is_a_page_that_helps(
    open_server: Server, open_tab: OpenTab, size: str, scheme: str
):
    tab = open_tab(open_server.url, "/nothing-here", size, scheme)
    tab.page.get_by_role("link", name="To the board").wait_for()
    tab.shoot(f"refused-{size}-{scheme}")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()
    only_the_page_failed(tab)


def only_the_page_failed(tab: Tab) -> None:
    (error,) = tab.errors
    assert "404" in error
    tab.errors.clear()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_frame_of_pages_fits_a_phone(open_server: Server, open_tab: OpenTab, scheme: str):
    tab = open_tab(open_server.url, "/settings", "phone", scheme)
    tab.page.evaluate(LISTEN)
    tab.page.locator('#live[data-state="on"]').wait_for()
    tab.shoot(f"frame-phone-{scheme}", full=False)
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()
