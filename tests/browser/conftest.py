"""A real Chromium that allows nothing a page should not need: no errors, no foreign requests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.reliability.counts import FULL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESKTOP, PHONE = (1440, 900), (390, 844)
SIZES = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES = ("light", "dark")
LEFT_OUT_IN_BRIEF = {("desktop", "dark"), ("phone", "light")}
LEVELS_A_AND_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All tests of this folder need a browser; in brief each size and scheme is looked at once."""
    left_out = [] if FULL else [item for item in items if _look_of(item) in LEFT_OUT_IN_BRIEF]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]
    skip = pytest.mark.skip(reason="no Chromium: apt-get install chromium")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(skip)


def _look_of(item: pytest.Item) -> tuple[object, object]:
    params = (
        item.callspec.params
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else {}
    )
    return params.get("size"), params.get("scheme")


@pytest.fixture(scope="module")  # while it runs, no other test of its process has an event loop
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


@dataclass
class Tab:
    """One page, and what went wrong on it."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)

    def goto(self, path: str) -> None:
        self.page.goto(self.origin + path)

    def violations(self) -> list[str]:
        """What axe-core finds against WCAG, levels A and AA."""
        found = Axe().run(self.page, options={"runOnly": LEVELS_A_AND_AA}).response["violations"]
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']][:5]}"
            for one in found
        ]

    def is_wider_than_the_screen(self) -> bool:
        """Whether somebody has to scroll sideways."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )

    def shoot(self, name: str, *, full: bool = True) -> Path:
        """Keep a screenshot: they are looked at."""
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=full)
        return path

    def _on_console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme not in {"data", "blob"} and f"{url.scheme}://{url.netloc}" != self.origin:
            self.foreign.append(request.url)


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Open a page of a server; afterwards there must have been no error and no foreign request."""
    tabs: list[Tab] = []
    with ExitStack() as stack:

        def opened(
            origin: str, path: str, size: str = "desktop", scheme: str = "light", **options: Any
        ) -> Tab:
            width, height = SIZES[size]
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, **options
            )
            stack.callback(context.close)
            tab = Tab(context.new_page(), origin)
            tab.listen()
            tabs.append(tab)
            tab.goto(path)
            return tab

        yield opened
    for tab in tabs:
        assert tab.errors == []
        assert tab.foreign == []
