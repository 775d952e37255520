"""A team with one project and one stored run, whose settings are looked at by a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from gradwatch_service.store.database import make_engine
from tests.browser.conftest import OpenTab, Tab
from tests.receivers import Receiver, receiving
from tests.servers import Server
from tests.streams import training
from tests.tenants import Keyring

PROJECT = "lm"
HOME = f"/settings/{PROJECT}"
SPIKED, REPORTS = 150, 240
ALL = ("read", "admin")

expect.set_options(timeout=30_000)  # the first back-test starts a process; the machine may be busy


@dataclass
class Team:
    """A server with one project, its stored runs, and who may do what."""

    server: Server
    ring: Keyring
    admin: dict[str, str]
    sessions: dict[str, Any]
    run_id: str

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.server.api}{path}", headers=self.admin, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        url = f"{self.server.api}{path}"
        answer = httpx.post(url, json=body, headers=self.admin, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def status_with(self, key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        path = f"{self.server.api}/runs"
        return httpx.get(path, headers=headers, trust_env=False).status_code


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("settings")
    allowed = {"GRADWATCH_OUTGOING_ALLOW": "127.0.0.1/32"}
    url = f"sqlite:///{folder}/gradwatch.db"
    server = Server(url, folder / "server.log", environment=allowed).start()
    engine = make_engine(url)
    ring = Keyring(engine)
    sessions = {scope: signed_in(server, ring.issue(PROJECT, scope).text) for scope in ALL}
    made = Team(server, ring, ring.bearer(PROJECT, "admin"), sessions, "")
    made.run_id = run_with_a_spike(made)
    yield made
    engine.dispose()
    server.kill()


def signed_in(server: Server, key: str) -> Any:
    """What a browser keeps of somebody who has signed in."""
    answer = httpx.post(f"{server.api}/session", json={"key": key}, trust_env=False)
    cookie = {
        "name": "gradwatch",
        "value": answer.cookies["gradwatch"],
        "domain": "127.0.0.1",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    return {"cookies": [cookie], "origins": []}


def run_with_a_spike(team: Team) -> str:
    """An ordinary run, but for one bad batch."""
    run_id = str(team.post("/runs", {"project": PROJECT, "name": "gpt-small"})["id"])
    whole = training(REPORTS).frame.scalars
    norm, loss = whole["grad_norm"].tolist(), whole["loss"].tolist()
    norm[SPIKED], loss[SPIKED] = 16 * norm[SPIKED], 1.6 * loss[SPIKED]
    steps = [{"step": i, "loss": loss[i], "grad_norm": norm[i]} for i in range(REPORTS)]
    team.post(f"/runs/{run_id}/steps", {"steps": steps})
    return run_id


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def look(team: Team, open_tab: OpenTab) -> Any:
    """Open a section of the settings as somebody."""

    def opened(
        section: str, who: str = "admin", size: str = "desktop", scheme: str = "light"
    ) -> Tab:
        state = team.sessions[who]
        path = f"{HOME}/{section}"
        return open_tab(
            team.server.url, path, size, scheme, storage_state=state, reduced_motion="reduce"
        )

    return opened


def ready(page: Page) -> None:
    page.locator("#rules[data-ready]").wait_for()


def slider(page: Page) -> Any:
    return page.get_by_label("Gradient spike: Threshold", exact=True)


def differences(page: Page) -> Any:
    return page.locator("#differences li")


def unfold(page: Page) -> None:
    """Show the form for a new channel; it is open by itself while there is no channel."""
    if not page.locator("#add").is_visible():
        page.get_by_text("Add a channel").click()


def forgive(tab: Tab, status: int) -> None:
    """Chromium logs every refusal that a page is told; anything else is an error still."""
    told = [one for one in tab.errors if f"a status of {status} " in one]
    assert told
    tab.errors[:] = [one for one in tab.errors if one not in told]


def add_channel(team: Team, hook: Receiver) -> str:
    settings = {"url": f"{hook.url}/chat"}
    body = {"kind": "slack", "name": "Team chat", "settings": settings}
    return str(team.post(f"/projects/{PROJECT}/channels", body)["id"])


def listed(team: Team, what: str) -> Any:
    return team.get(f"/projects/{PROJECT}/{what}")["items"]


def rules_set(team: Team) -> Any:
    return team.get(f"/projects/{PROJECT}/rules")["settings"]
