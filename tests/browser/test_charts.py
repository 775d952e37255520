"""The charts of the run page show what a run reported, however closely it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SCHEMES, SIZES, OpenTab, Tab
from tests.browser.exploding import SPIKE, STEPS, Runs, started, told
from tests.servers import Server

expect.set_options(timeout=30_000)  # a busy machine is no failure
CHARTS = ("curves", "heatmap", "layer", "ratios", "depth")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("charts")
    running = Server(f"sqlite:///{folder}/charts.db", folder / "server.log").start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def runs(server: Server) -> Runs:
    return told(server)


def wait_until_drawn(tab: Tab, *charts: str) -> None:
    for chart in charts:
        figure = tab.page.locator(f"#{chart}")
        figure.scroll_into_view_if_needed()
        expect(figure).to_have_attribute("data-state", "drawn")
        expect(figure).to_have_attribute("aria-busy", "false")


def trace(tab: Tab, chart: str, name: str) -> dict[str, Any]:
    """What Plotly has drawn, of one curve: plain lists."""
    script = """([chart, name]) => {
        const { data } = document.querySelector(`#${chart} .plot`);
        const found = data.find((one) => one.name === name);
        return found && { x: Array.from(found.x), y: Array.from(found.y), text: found.text };
    }"""
    return dict(tab.page.evaluate(script, [chart, name]) or {})


def imported(tab: Tab, module: str, call: str, argument: Any = None) -> Any:
    """What a function of one of our modules returns; ``call`` is a function of the module."""
    base = tab.page.locator("script[src$='js/charts.js']").get_attribute("src")
    address = str(base).replace("charts.js", module)
    script = f"async ([address, given]) => ({call})(await import(address), given)"
    return tab.page.evaluate(script, [address, argument])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_everybody_can_see_where_and_when_a_run_exploded(
    server: Server, runs: Runs, open_tab: OpenTab, size: str, scheme: str
):
    tab = open_tab(server.url, f"/runs/{runs.exploding}", size, scheme)
    wait_until_drawn(tab, *CHARTS)
    expect(tab.page.locator("#curves .said")).to_contain_text("The gradient norm grew from")
    expect(tab.page.locator("#curves .said")).to_contain_text(f"∞ from step {runs.dies} on")
    expect(tab.page.locator("#heatmap .said")).to_contain_text("moved first, at step")
    expect(tab.page.locator("#heatmap .plot")).to_contain_text("first mover:")
    expect(tab.page.locator("#curves .plot")).to_contain_text("critical")
    expect(tab.page.locator("#time")).to_have_attribute("data-state", "empty")
    tab.shoot(f"charts-{size}-{scheme}")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()


def test_what_is_not_finite_is_marked_and_so_is_what_the_job_did(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(server.url, f"/runs/{runs.exploding}")
    wait_until_drawn(tab, "curves")
    odd = trace(tab, "curves", "not finite")
    assert odd["x"] == list(range(runs.dies, STEPS))
    assert set(odd["text"]) <= {"NaN", "∞"}
    assert trace(tab, "curves", "update skipped")["x"] == [SPIKE]
    assert SPIKE in trace(tab, "curves", "clipped")["x"]
    events = trace(tab, "curves", "events")
    assert sorted(events["x"]) == [200, 250, 370]
    assert any("checkpoint: step-200.pt" in text for text in events["text"])
    assert any("action (failed)" in text for text in events["text"])


def test_extremes_survive_however_few_points_are_drawn(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(server.url, f"/runs/{runs.exploding}?from=0&to=300", "phone")
    wait_until_drawn(tab, "curves")
    norm = trace(tab, "curves", "Gradient norm")
    assert len(norm["x"]) < 300
    assert norm["y"][norm["x"].index(SPIKE)] == 40.0


def test_zooming_reads_finer_numbers_and_is_kept_in_the_address(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(server.url, f"/runs/{runs.exploding}", "phone")
    wait_until_drawn(tab, "curves", "heatmap")
    whole = trace(tab, "curves", "Gradient norm")["x"]
    with tab.page.expect_response(lambda answer: "from=100" in answer.url):
        tab.page.get_by_role("button", name="Zoom in").click()
    tab.page.wait_for_function("() => !document.querySelector('#curves[aria-busy=\"true\"]')")
    query = parse_qs(urlsplit(tab.page.url).query)
    first, last = int(query["from"][0]), int(query["to"][0])
    assert (first, last) == (100, 300)
    near = trace(tab, "curves", "Gradient norm")["x"]
    inside = [step for step in whole if first <= step <= last]
    assert len(near) > len(inside)
    with tab.page.expect_response(lambda answer: f"heatmap?from={first}&to={last}" in answer.url):
        tab.page.locator("#heatmap").scroll_into_view_if_needed()
    ranges = "id => document.querySelector(id + ' .plot').layout.xaxis.range.map(Math.round)"
    wait_until_drawn(tab, "heatmap")
    assert tab.page.evaluate(ranges, "#heatmap") == [first, last]
    tab.page.reload()
    wait_until_drawn(tab, "curves")
    assert tab.page.evaluate(ranges, "#curves") == [first, last]
    tab.page.get_by_role("button", name="Whole run").click()
    expect(tab.page.locator("#charts-shown")).to_have_text(f"all {STEPS - 1} steps")
    assert "from" not in tab.page.url


def test_dragging_zooms_all_charts_and_a_double_click_shows_all_again(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(server.url, f"/runs/{runs.exploding}")
    wait_until_drawn(tab, "curves")
    area = tab.page.locator("#curves .nsewdrag").first.bounding_box()
    assert area is not None
    middle = area["y"] + area["height"] / 2
    tab.page.mouse.move(area["x"] + area["width"] * 0.25, middle)
    tab.page.mouse.down()
    tab.page.mouse.move(area["x"] + area["width"] * 0.75, middle, steps=4)
    tab.page.mouse.up()
    expect(tab.page.locator("#charts-shown")).to_contain_text("steps 1")
    wait_until_drawn(tab, "curves")
    for _ in range(5):  # two clicks of a busy machine are not always one double click
        tab.page.mouse.dblclick(area["x"] + area["width"] / 2, middle)
        tab.page.wait_for_timeout(700)
        if tab.page.locator("#charts-shown").filter(has_text="all").count():
            break
    expect(tab.page.locator("#charts-shown")).to_contain_text("all")


def test_a_layer_a_statistic_and_a_step_can_be_linked_to(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(
        server.url, f"/runs/{runs.exploding}?metric=update_ratio&layer=11.weight&step=200"
    )
    wait_until_drawn(tab, "heatmap", "layer", "depth")
    expect(tab.page.get_by_label("Statistic")).to_have_value("update_ratio")
    expect(tab.page.locator("#charts-layer")).to_have_value("11.weight")
    expect(tab.page.locator("#layer .said")).to_contain_text("11.weight")
    expect(tab.page.locator("#depth .said")).to_contain_text("At step 200:")
    tab.page.locator("#charts-layer").select_option("3.weight")
    expect(tab.page.locator("#layer .said")).to_contain_text("3.weight")
    assert parse_qs(urlsplit(tab.page.url).query)["layer"] == ["3.weight"]


def test_another_run_can_be_laid_over_in_either_theme(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(server.url, f"/runs/{runs.healthy}")
    wait_until_drawn(tab, "curves", "time")
    expect(tab.page.locator("#time .said")).to_contain_text(
        "grows by \N{MULTIPLICATION SIGN}1.19 per time step"
    )
    assert trace(tab, "curves", "other run") == {}
    tab.page.get_by_label("Compare with").focus()
    tab.page.get_by_label("Compare with").select_option(runs.exploding)
    expect(tab.page.locator("#curves .legend")).to_be_visible()
    expect(tab.page.locator("#curves .legend")).to_contain_text("tanh-12-calm")
    assert max(y for y in trace(tab, "curves", "other run")["y"] if y) > 1e30
    ink = "document.querySelector('#curves .plot').layout.font.color"
    light = tab.page.evaluate(ink)
    tab.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    tab.page.evaluate("document.dispatchEvent(new CustomEvent('theme'))")
    tab.page.wait_for_function(f"() => {ink} !== '{light}'")
    tab.shoot("charts-compared")


def test_a_run_that_has_reported_nothing_says_so(server: Server, runs: Runs, open_tab: OpenTab):
    tab = open_tab(server.url, f"/runs/{runs.empty}")
    expect(tab.page.locator("#curves")).to_have_attribute("data-state", "empty")
    expect(tab.page.locator("#curves .told")).to_contain_text("No loss and no gradient norm")
    expect(tab.page.locator("#heatmap")).to_have_attribute("data-state", "empty")
    assert tab.violations() == []
    tab.shoot("charts-empty")


def test_a_chart_that_cannot_be_read_says_so_and_can_be_tried_again(
    server: Server, runs: Runs, open_tab: OpenTab
):
    tab = open_tab(server.url, f"/runs/{runs.healthy}")
    wait_until_drawn(tab, "heatmap")
    tab.page.route("**/heatmap?*", lambda route: route.abort())
    tab.page.get_by_label("Statistic").select_option("weight_norm")
    expect(tab.page.locator("#heatmap")).to_have_attribute("data-state", "error")
    tab.shoot("charts-error", full=False)
    tab.page.unroute_all()
    tab.page.locator("#heatmap").get_by_role("button", name="Try again").click()
    expect(tab.page.locator("#heatmap")).to_have_attribute("data-state", "drawn")
    tab.errors.clear()  # Chromium tells of the request that we broke


def test_pure_parts_of_the_charts(server: Server, runs: Runs, open_tab: OpenTab):
    tab = open_tab(server.url, f"/runs/{runs.empty}")
    packed = [0x82, 0xA1, 0x61, 0xCD, 0x01, 0x00, 0xA1, 0x62, 0x93, 0xC0, 0xFF, 0xC4, 0x01, 0x07]
    decode = """(m, given) => {
        const found = m.decode(new Uint8Array(given).buffer);
        return { ...found, b: [...found.b.slice(0, 2), [...new Uint8Array(found.b[2])]] };
    }"""
    assert imported(tab, "msgpack.js", decode, packed) == {"a": 256, "b": [None, -1, [7]]}
    shown = "(m, given) => given.map(m.shown)"
    numbers = [0, 1234, 0.000123, 4e7, -2.5]
    assert imported(tab, "numbers.js", shown, numbers) == [
        "0",
        "1,234",
        "1.2·10⁻⁴",
        "4·10⁷",
        "\N{MINUS SIGN}2.5",
    ]
    clamped = "(m, given) => given.map((one) => m.clamped(...one))"
    assert imported(tab, "view.js", clamped, [[-10, 40, 100], [90, 140, 100], [5, 5, 100]]) == [
        [0, 50],
        [50, 100],
        [5, 7],
    ]
    parsed = "(m, given) => m.parsed(given)"
    assert imported(tab, "view.js", parsed, "?from=9&to=3&layer=a&step=x") == {"layer": "a"}
    growing = {"steps": list(range(40)), "values": [2.0**n for n in range(40)]}
    forecast = "(m, { steps, values }) => m.forecast({ steps, values }, [], 1)"
    assert imported(tab, "charts/forecast.js", forecast, growing)["at"] == 64
    steady = growing | {"values": [1.0] * 40}
    assert imported(tab, "charts/forecast.js", forecast, steady) is None
    evidence = [
        {"state": "firing", "evidence": [{"name": "steps-to-overflow", "step": 30, "value": 20}]}
    ]
    by_alert = "(m, [{ steps, values }, alerts]) => m.forecast({ steps, values }, alerts, 10)"
    assert imported(tab, "charts/forecast.js", by_alert, [growing, evidence])["at"] == 230
    told_of = "(m, [steps, values]) => m.told('It', steps, values)"
    calm = [list(range(30)), [1.0] * 20 + [4.0, 50.0, 400.0] + [300.0] * 7]
    assert imported(tab, "charts/sentences.js", told_of, calm) == (
        "It grew from 1 at step 19 to 400 at step 22."
    )
    growth = "(m, given) => m.growth(...given)"
    assert "grows by \N{MULTIPLICATION SIGN}2.00 per layer" in imported(
        tab, "charts/profiles.js", growth, [1, "depth"]
    )
    updates, weights = {"steps": [5, 15], "values": [1, 4]}, {"steps": [0, 10], "values": [2, 8]}
    ratio = "(m, given) => Array.from(m.ratioSeries(...given).values)"
    assert imported(tab, "charts/layers.js", ratio, [updates, weights]) == [0.5, 0.5]


def test_what_a_job_reports_meanwhile_appears(server: Server, open_tab: OpenTab):
    with started(server) as job:
        job.report(0, 40)
        tab = open_tab(server.url, f"/runs/{job.run}")
        wait_until_drawn(tab, "curves")
        expect(tab.page.locator("#live")).to_have_attribute("data-state", "on")
        job.report(40, 60)
        expect(tab.page.locator("#charts-shown")).to_have_text("all 59 steps")
        data = "document.querySelector('#curves .plot').data"
        last = f"Math.max(...{data}.find((one) => one.name === 'Loss').x)"
        tab.page.wait_for_function(f"() => {last} === 59")
