"""Who has to show a key is led to the page that asks for it, and back."""

from __future__ import annotations

import pytest

from tests.browser.conftest import SCHEMES, SIZES, OpenTab
from tests.servers import Server


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_page_that_asks_for_a_key_is_usable_by_everybody(
    server: Server, open_tab: OpenTab, size: str, scheme: str
):
    tab = open_tab(server.url, "/signin", size, scheme)
    tab.page.get_by_label("Key of your project").wait_for()
    tab.shoot(f"signin-{size}-{scheme}")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()
