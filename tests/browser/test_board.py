"""The board in a real browser: what dies is seen at once, on every screen, while it happens."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser import team
from tests.browser.conftest import SCHEMES, SIZES, OpenTab, Tab
from tests.servers import Server

LISTEN = """
  window.told = [];
  window.Notification = class extends Notification {
    constructor(title, options) { super(title, options); told.push([title, this]); }
  };
"""
IDLE = "idle"


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture(scope="module")
def board(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a team's jobs, of which some die and one is looked after."""
    folder = tmp_path_factory.mktemp("board")
    shutil.copy(sqlite_template, folder / "gradwatch.db")
    server = Server(f"sqlite:///{folder}/gradwatch.db", folder / "server.log").start()
    with client(server) as http:
        runs = {job.name: team.send(http, job) for job in team.jobs()}
        team.acknowledge_one(http, runs["char-rnn tanh"])
    yield server
    server.kill()


def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.api, timeout=30, trust_env=False)


def drawn(tab: Tab) -> None:
    """Wait for the curves of the first row."""
    expect(tab.page.locator("#rows tr").first.locator("svg")).to_have_count(2)


def visible_names(tab: Tab) -> list[str]:
    return tab.page.locator("#rows tr:visible .c-name a").all_inner_texts()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_a_dying_run_is_seen_at_a_glance_by_everybody(
    board: Server, open_tab: OpenTab, size: str, scheme: str
):
    tab = open_tab(board.url, "/", size, scheme)
    card = tab.page.locator(".alert").filter(has_text="gpt-small lr 6e-4").first
    expect(card).to_contain_text("The learning rate is too high")
    expect(card).to_contain_text("1.weight")
    expect(card).to_contain_text(re.compile(r"step 303, (now|\d+ \w+ ago)"))
    tab.shoot(f"board-{size}-{scheme}", full=False)
    tab.page.locator("#rows tr").nth(3).scroll_into_view_if_needed()
    drawn(tab)
    tab.shoot(f"board-rows-{size}-{scheme}", full=False)
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()


def test_curves_say_in_words_what_they_show_and_mark_what_is_no_number(
    board: Server, open_tab: OpenTab
):
    tab = open_tab(board.url, "/?q=deep-mlp")
    drawn(tab)
    norm = tab.page.locator("#rows tr svg.grad_norm")
    expect(norm.locator("title")).to_have_text(
        re.compile("Gradient norm from .* to NaN, .*with NaN")
    )
    expect(norm.locator(".broken")).to_have_count(1)
    expect(tab.page.locator("#rows tr svg.loss .broken")).to_have_count(0)


def test_filters_act_at_once_and_make_an_address_that_shows_the_same(
    board: Server, open_tab: OpenTab
):
    tab = open_tab(board.url, "/")
    tab.page.get_by_label("Name").press_sequentially("GPT")
    expect(tab.page.locator("#rows tr:visible")).to_have_count(2)
    assert set(visible_names(tab)) == {"gpt-small lr 6e-4", "gpt-small lr 3e-4"}
    with tab.page.expect_response(re.compile("/board/runs.*health=")):
        tab.page.get_by_label("Health").select_option("critical")
    query = parse_qs(urlsplit(tab.page.url).query)
    assert query == {"q": ["GPT"], "health": ["critical"]}
    assert "gpt-small lr 6e-4" in visible_names(tab)
    tab.page.reload()
    expect(tab.page.get_by_label("Name")).to_have_value("GPT")
    assert "gpt-small lr 6e-4" in visible_names(tab)
    assert all("gpt" in name for name in visible_names(tab))
    tab.page.get_by_label("Name").fill("nobody has this name")
    expect(tab.page.get_by_role("heading", name="No run is like that")).to_be_visible()
    tab.page.get_by_role("link", name="Show all runs").click()
    expect(tab.page.locator("#rows tr")).to_have_count(6)


def test_alerts_are_those_of_the_project_asked_for(board: Server, open_tab: OpenTab):
    tab = open_tab(board.url, "/")
    cards = tab.page.locator(".alert")
    expect(cards.filter(has_text="gpt-small lr 6e-4").first).to_be_visible()
    tab.page.get_by_label("Project").select_option("vision")
    expect(cards.filter(has_text="gpt-small")).to_have_count(0)
    expect(cards.filter(has_text="deep-mlp")).to_have_count(1)


def test_filters_work_without_any_script(board: Server, open_tab: OpenTab):
    tab = open_tab(board.url, "/", java_script_enabled=False)
    tab.page.get_by_label("Project").select_option("vision")
    tab.page.get_by_label("State").select_option("finished")
    tab.page.get_by_role("button", name="Filter").click()
    names = tab.page.locator("#rows .c-name a")
    expect(names).to_have_count(1)
    expect(names).to_contain_text("resnet50")


def test_a_run_that_dies_shows_on_an_open_board_and_a_notification_leads_to_it(
    board: Server, open_tab: OpenTab
):
    with client(board) as http:
        run = team.new_run(http, "about to die")
        team.push(http, run, team.CALM)
        tab = open_tab(board.url, "/?q=about", permissions=["notifications"])
        tab.page.add_init_script(LISTEN)
        tab.page.reload()
        expect(tab.page.locator("#live")).to_have_attribute("data-state", "on")
        tab.page.get_by_role("button", name="Notify me").click()
        expect(tab.page.get_by_role("button", name="Notifying me")).to_be_visible()
        row = tab.page.locator(f"#r-{run}")
        expect(row.locator(".c-health")).to_have_text("ok")
        team.push(http, run, team.DEADLY)
    card = tab.page.locator(".alert").filter(has_text="about to die")
    expect(card).to_contain_text("non-finite")
    expect(row.locator(".c-health")).to_have_text("critical")
    expect(row.locator(".c-step")).to_contain_text("10")
    expect(tab.page.locator("#news")).to_contain_text("New alert")
    tab.page.wait_for_function("told.some(([title]) => title.startsWith('about to die'))")
    with tab.page.expect_navigation(url=f"**/runs/{run}"):
        tab.page.evaluate(
            "told.find(([title]) => title.startsWith('about to die'))[1]"
            ".dispatchEvent(new Event('click'))"
        )


def test_curves_are_fetched_for_rows_in_view_alone(board: Server, open_tab: OpenTab):
    with client(board) as http:
        for number in range(80):
            team.new_run(http, f"idle {number}", IDLE)
    asked: set[str] = set()
    tab = open_tab(board.url, "/signin")
    tab.page.on("request", lambda request: asked.update(runs_asked(request.url)))
    with tab.page.expect_response(re.compile("/sparklines")):
        tab.goto(f"/?project={IDLE}")
    expect(tab.page.locator("#rows tr").first.locator(".c-spark").first).not_to_be_empty()
    assert 5 <= len(asked) < 60
    with tab.page.expect_response(re.compile("/sparklines")):
        tab.page.locator("#rows tr").last.scroll_into_view_if_needed()
    assert len(asked) > 20


def runs_asked(url: str) -> list[str]:
    parts = urlsplit(url)
    return parse_qs(parts.query)["run"] if parts.path.endswith("/sparklines") else []


def test_the_wall_is_dark_and_has_nothing_to_click(board: Server, open_tab: OpenTab):
    tab = open_tab(board.url, "/?wall=1")
    drawn(tab)
    assert tab.page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    assert tab.page.locator("a:visible, button:visible, input:visible, select:visible").count() == 1
    tab.shoot("board-wall", full=False)
    assert tab.violations() == []


def test_an_empty_board_tells_how_to_send_a_run_and_fills_when_that_is_done(
    server: Server, open_tab: OpenTab
):
    tab = open_tab(server.url, "/", "phone")
    expect(tab.page.get_by_role("heading", name="Send the first run")).to_be_visible()
    tab.shoot("board-empty-phone")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()
    code = tab.page.locator("#way-python").inner_text()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    expect(tab.page.locator("#rows .c-project")).to_have_text("my-project", timeout=20_000)
    expect(tab.page.get_by_label("Project")).to_be_visible()
