"""Keys: made and shown once, rotated, revoked."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Tab
from tests.browser.settings.conftest import Team
from tests.servers import poll


def test_a_key_is_made_shown_once_rotated_and_revoked(look: Any, team: Team):
    tab = look("keys")
    page = tab.page
    form = page.locator("#make")
    form.get_by_label("Name", exact=True).fill("notebook")
    form.get_by_label("read everything").check()
    form.get_by_role("button", name="Make the key").click()
    first = shown_key(tab, "settings-keys-new")
    assert team.status_with(first) == 200
    row = page.locator("tr", has_text="notebook")
    expect(row).to_have_count(1)
    assert first not in page.content()

    row.get_by_role("button", name="Rotate").click()
    page.get_by_label("The old key stays good for").select_option("3600")
    page.get_by_role("dialog").get_by_role("button", name="Make the new key").click()
    second = shown_key(tab, "settings-keys-rotated")
    assert (team.status_with(first), team.status_with(second)) == (200, 200)
    expect(row).to_have_count(2)

    row.first.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke the key").click()
    expect(row.first).to_contain_text("revoked")
    poll(lambda: team.status_with(second) == 401, "the revoked key opens nothing")


def shown_key(tab: Tab, name: str) -> str:
    dialog = tab.page.get_by_role("dialog", name="The new key")
    key = dialog.get_by_label("The key").input_value()
    assert tab.violations() == []
    tab.shoot(name, full=False)
    dialog.get_by_role("button", name="I have kept it").click()
    expect(dialog).to_be_hidden()
    return key
