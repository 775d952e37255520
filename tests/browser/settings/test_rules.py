"""Rules: tried on stored runs while a slider moves, saved, put back, found."""

from __future__ import annotations

from typing import Any

import httpx
from playwright.sync_api import Route, expect

from tests.browser.settings.conftest import (
    PROJECT,
    SPIKED,
    Team,
    differences,
    forgive,
    ready,
    rules_set,
    slider,
)


def test_a_slider_that_is_dragged_shows_what_would_change_on_stored_runs(look: Any, team: Team):
    page = look("rules").page
    ready(page)
    box = slider(page).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2, steps=12)
    expect(differences(page)).to_have_count(1)  # while the button is still down
    page.mouse.up()
    expect(differences(page)).to_contain_text(f"step {SPIKED}")
    expect(page.get_by_role("img", name="1 now, 0 with yours")).to_be_visible()
    expect(page.locator("#tally")).to_contain_text("\N{MINUS SIGN}1")
    assert rules_set(team) == {}
    expect(page.get_by_text("1 change is not saved.")).to_be_visible()

    page.get_by_role("button", name="Put back").click()
    expect(differences(page)).to_have_count(0)
    number = page.get_by_label("Gradient spike: Threshold, as a number")
    assert number.input_value() == "6"

    put(team, {"loss-spike": {"notify": False}})
    number.fill("50")
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Somebody else has set the rules meanwhile")
    dialog.get_by_role("button", name="Cancel").click()
    assert rules_set(team) == {"loss-spike": {"notify": False}}
    page.get_by_role("button", name="Save").click()
    dialog.get_by_role("button", name="Save mine all the same").click()
    expect(page.get_by_text("It holds for launches from now on")).to_be_visible()
    assert rules_set(team) == {"gradient-spike": {"threshold": 50.0}}
    expect(page.locator("#set-by")).to_contain_text("Last set")
    put(team, {})


def test_a_rule_is_reached_by_its_name_found_by_its_words_and_set_by_keyboard(look: Any):
    page = look("rules#update-ratio-low").page
    ready(page)
    low = page.get_by_label("Update ratio low: Low", exact=True)
    expect(low).to_be_visible()
    low.press("Home")
    low.press("ArrowRight")  # equal factors: the scale spans six orders of magnitude
    number = page.get_by_label("Update ratio low: Low, as a number")
    assert float(number.input_value()) == 1.1e-10
    page.get_by_role("button", name="the default of low, back to it").click()
    assert float(number.input_value()) == 1e-6
    page.get_by_label("Find a rule").fill("half precision")
    expect(page.locator("details.rule:visible")).to_have_count(1)
    expect(page.locator("#underflow-risk")).to_be_visible()


def test_of_what_waits_for_a_trial_only_the_newest_is_tried(look: Any):
    page = look("rules").page
    ready(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    page.route("**/rules/backtest", hold)
    slider(page).press("End")
    expect(page.get_by_text("Trying this")).to_be_visible()
    for key in ("Home", "ArrowRight", "End"):
        slider(page).press(key)
        page.wait_for_timeout(200)  # longer than a hand has to rest
    (first,) = held
    with page.expect_request("**/rules/backtest") as second:
        first.continue_()
    assert second.value.post_data_json["settings"] == {"gradient-spike": {"threshold": 100.0}}
    expect(differences(page)).to_have_count(1)
    assert len(held) == 2


def test_a_value_out_of_range_is_refused_at_its_number_and_kept_to_be_mended(look: Any):
    tab = look("rules")
    page = tab.page
    ready(page)
    number = page.get_by_label("Gradient spike: Threshold, as a number")
    number.fill("5")
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(
        page.get_by_text("gradient-spike.threshold is a number from 6 to 100").first
    ).to_be_visible()
    assert number.input_value() == "5"
    assert tab.violations() == []
    number.fill("60")
    expect(number).not_to_have_attribute("aria-invalid", "true")
    expect(differences(page)).to_have_count(1)
    forgive(tab, 422)


def put(team: Team, body: Any) -> None:
    path = f"{team.server.api}/projects/{PROJECT}/rules"
    answer = httpx.put(path, json={"settings": body}, headers=team.admin, trust_env=False)
    assert answer.is_success
