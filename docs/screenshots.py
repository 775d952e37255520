"""Takes the README's screenshots of the dashboards on the demo's two jobs: ``make docs``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from docs.picture import watched
from gradwatch_service.demo.job import Settings, start
from gradwatch_service.demo.server import serving

FOLDER = Path(__file__).parent / "screenshots"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
TALL: ViewportSize = {"width": 1280, "height": 1500}
ENDS: dict[str, Literal["failed", "finished"]] = {
    "without help": "failed", "with the guard": "finished",
}  # fmt: skip
PHONE: ViewportSize = {"width": 390, "height": 844}


def main() -> None:
    """Train, look, write the files."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(f"sqlite:///{folder}/shown.db") as url:
        settings = Settings()
        jobs = {name: start(settings, name, url) for name in ENDS}
        for name, job in jobs.items():
            watched(settings, job, help_it=name == "with the guard")
            job.finish(ENDS[name])
        run = f"{url}/runs/{jobs['without help'].id}"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            _shoot(browser, url, "board", "svg.spark", DESKTOP)
            _shoot(browser, run, "run", "#heatmap .js-plotly-plot", TALL)
            _shoot(browser, run, "run-phone", "h1", PHONE, dark=True)
            rules = f"{url}/settings/demo/rules#gradient-spike"
            _shoot(browser, rules, "rules", "#rules", DESKTOP, dark=True)
            browser.close()


def _shoot(
    browser: Browser, address: str, name: str, shown: str, size: ViewportSize, *, dark: bool = False
) -> None:
    page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")
    page.goto(address)
    page.locator(shown).first.wait_for()
    page.wait_for_timeout(1_500)  # until curves are drawn, and what is live is live
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
