"""Every section, at each size and in both themes; and for those who may only read."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SCHEMES, SIZES, Tab
from tests.browser.settings.conftest import (
    HOME,
    Team,
    add_channel,
    differences,
    listed,
    ready,
    rules_set,
    slider,
    unfold,
)
from tests.receivers import Receiver


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_section_is_usable_by_everybody(
    team: Team, look: Any, hook: Receiver, size: str, scheme: str
):
    if not listed(team, "channels"):
        add_channel(team, hook)
    tab = look("channels", size=size, scheme=scheme)
    unfold(tab.page)
    check(tab, f"settings-channels-{size}-{scheme}")
    tab.goto(f"{HOME}/keys")
    check(tab, f"settings-keys-{size}-{scheme}")
    tab.goto(f"{HOME}/audit")
    check(tab, f"settings-audit-{size}-{scheme}")
    tab.goto(f"{HOME}/rules#gradient-spike")
    ready(tab.page)
    slider(tab.page).press("End")
    expect(differences(tab.page)).to_have_count(1)
    check(tab, f"settings-rules-{size}-{scheme}", full=size == "phone")


def check(tab: Tab, name: str, *, full: bool = True) -> None:
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()
    tab.shoot(name, full=full)


def test_who_may_only_read_tries_rules_but_saves_nothing(look: Any, team: Team):
    tab = look("rules", who="read", size="phone")
    page = tab.page
    ready(page)
    expect(page.get_by_text("that takes a key with the scope admin")).to_be_visible()
    slider(page).press("End")
    expect(differences(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    assert tab.violations() == []
    assert rules_set(team) == {}
    tab.goto(f"{HOME}/channels")
    unfold(page)
    expect(page.get_by_role("button", name="Add the channel")).to_be_disabled()
    assert tab.violations() == []
    tab.shoot("settings-read-only")
