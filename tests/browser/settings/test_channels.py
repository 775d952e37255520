"""Channels: added, refused, tried, changed, deleted; dead letters sent once more."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from playwright.sync_api import expect

from gradwatch_service.clock import utc_now
from gradwatch_service.store import deliveries
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.deliveries import Delivery
from tests.browser.settings.conftest import PROJECT, Team, add_channel, forgive, listed, unfold
from tests.receivers import Receiver


def test_a_refused_channel_says_what_is_wrong_where_it_is_and_loses_nothing(look: Any):
    tab = look("channels")
    page = tab.page
    unfold(page)
    page.get_by_label("Signed webhook").check()
    form = page.locator("#add")
    form.get_by_label("Name", exact=True).fill("night watch")
    form.locator("#webhook-settings-url").fill("https://10.0.0.1/hook")
    form.locator("#webhook-settings-secret").fill("whsec_short")
    form.get_by_role("button", name="Add the channel").click()
    address = form.locator("#webhook-settings-url")
    expect(address).to_have_attribute("aria-invalid", "true")
    expect(address).to_be_focused()
    secret = form.locator("#webhook-settings-secret")
    expect(secret).to_have_accessible_description(
        "whsec_ and 24 to 64 bytes in base64; whoever listens checks signatures with it "
        "it must be whsec_ and 24 to 64 bytes in base64: openssl rand -base64 32"
    )
    assert tab.violations() == []
    tab.shoot("settings-channels-refused")
    assert form.get_by_label("Name", exact=True).input_value() == "night watch"
    assert secret.input_value() == "whsec_short"
    forgive(tab, 422)


def test_a_channel_is_added_tried_renamed_switched_off_and_deleted(
    look: Any, team: Team, hook: Receiver
):
    tab = look("channels")
    page = tab.page
    unfold(page)
    page.get_by_label("Signed webhook").check()
    form = page.locator("#add")
    form.get_by_label("Name", exact=True).fill("night watch")
    form.locator("#webhook-settings-url").fill(f"{hook.url}/hook")
    form.get_by_role("button", name="Make one").click()
    form.get_by_role("button", name="Add the channel").click()
    card = page.locator(".channel", has_text="night watch")
    expect(card.get_by_role("heading")).to_be_focused()

    card.get_by_role("button", name="Send a test").click()
    expect(card.get_by_role("status")).to_have_text(
        "Delivered: the other side has taken the test message."
    )
    (heard,) = hook.received
    assert (heard.path, heard.json["type"]) == ("/hook", "test")
    hook.will_answer(410)
    card.get_by_role("button", name="Send a test").click()
    expect(card.get_by_role("status")).to_contain_text("Not delivered: the receiver answered 410")
    forgive(tab, 502)

    card.locator("summary").first.click()
    card.get_by_label("Name", exact=True).fill("day watch")
    card.get_by_label("Tell", exact=True).select_option("error")
    card.get_by_role("button", name="Save").click()
    card = page.locator(".channel", has_text="day watch")
    expect(card.get_by_text("errors and critical alerts, and when it is over")).to_be_visible()
    card.get_by_role("button", name="Switch off").click()
    expect(card.get_by_role("button", name="Switch on")).to_be_focused()
    (kept,) = [x for x in listed(team, "channels") if x["name"] == "day watch"]
    assert (kept["enabled"], kept["settings"]["min_severity"]) == (False, "error")

    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(card).to_be_visible()
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the channel").click()
    expect(card).to_have_count(0)
    assert not [x for x in listed(team, "channels") if x["name"] == "day watch"]


def test_a_dead_letter_is_sent_once_more(look: Any, team: Team, hook: Receiver):
    channel_id = add_channel(team, hook)
    letter = give_up(team, channel_id)
    page = look("channels").page
    row = page.locator(f"#letter-{letter}")
    expect(row).to_contain_text("it answered 410")
    row.get_by_role("button", name="Send again").click()
    expect(row).to_have_count(0)
    expect(page.get_by_text("It is on its way once more")).to_be_visible()
    (found,) = [one for one in listed(team, "deliveries") if one["id"] == letter]
    assert found["state"] != "dead"


def give_up(team: Team, channel_id: str) -> str:
    now, delivery_id = utc_now(), uuid.uuid4()
    row = Delivery(
        run_id=uuid.UUID(team.run_id),
        delivery_id=delivery_id,
        channel_id=uuid.UUID(channel_id),
        project=PROJECT,
        kind="firing",
        body={"reason": "firing-new"},
        created_at=now - dt.timedelta(hours=1),
        due_at=now,
        state="dead",
        attempts=3,
        error="it answered 410",
        attempted_at=now,
        settled_at=now,
    )
    with for_writing(team.ring.engine).begin() as connection:
        deliveries.add(connection, row)
    return str(delivery_id)
