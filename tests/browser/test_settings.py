"""The settings in a browser: channels that are tried, keys that open, rules tried as they move."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from gradwatch_service.clock import utc_now
from gradwatch_service.store import deliveries
from gradwatch_service.store.database import for_writing, make_engine
from gradwatch_service.store.deliveries import Delivery
from tests.browser.conftest import SCHEMES, SIZES, OpenTab, Tab
from tests.receivers import Receiver, receiving
from tests.servers import Server, poll
from tests.streams import training
from tests.tenants import Keyring

PROJECT = "lm"
HOME = f"/settings/{PROJECT}"
SPIKED, REPORTS = 150, 240


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


@pytest.fixture(scope="module")
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


ALL = ("read", "admin")


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


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_every_section_is_usable_by_everybody(
    team: Team, look: Any, hook: Receiver, size: str, scheme: str
):
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


def unfold(page: Page) -> None:
    """Show the form for a new channel; it is open by itself while there is no channel."""
    if not page.locator("#add").is_visible():
        page.get_by_text("Add a channel").click()


def check(tab: Tab, name: str, *, full: bool = True) -> None:
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()
    tab.shoot(name, full=full)


def add_channel(team: Team, hook: Receiver) -> str:
    settings = {"url": f"{hook.url}/chat"}
    body = {"kind": "slack", "name": "Team chat", "settings": settings}
    return str(team.post(f"/projects/{PROJECT}/channels", body)["id"])


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


def forgive(tab: Tab, status: int) -> None:
    """Chromium logs every refusal that a page is told; anything else is an error still."""
    told = [one for one in tab.errors if f"a status of {status} " in one]
    assert told
    tab.errors[:] = [one for one in tab.errors if one not in told]


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


def listed(team: Team, what: str) -> Any:
    return team.get(f"/projects/{PROJECT}/{what}")["items"]


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
    assert settings(team) == {}
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
    assert settings(team) == {"loss-spike": {"notify": False}}
    page.get_by_role("button", name="Save").click()
    dialog.get_by_role("button", name="Save mine all the same").click()
    expect(page.get_by_text("It holds for launches from now on")).to_be_visible()
    assert settings(team) == {"gradient-spike": {"threshold": 50.0}}
    expect(page.locator("#set-by")).to_contain_text("Last set")
    put(team, {})


def settings(team: Team) -> Any:
    return team.get(f"/projects/{PROJECT}/rules")["settings"]


def put(team: Team, body: Any) -> None:
    path = f"{team.server.api}/projects/{PROJECT}/rules"
    answer = httpx.put(path, json={"settings": body}, headers=team.admin, trust_env=False)
    assert answer.is_success


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


def test_what_is_out_of_date_is_given_up(look: Any):
    page = look("rules").page
    ready(page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/rules/backtest", hold)
    slider(page).press("End")
    with page.expect_event("requestfailed") as given_up:
        expect(page.get_by_text("Trying this")).to_be_visible()
        slider(page).press("Home")
        slider(page).press("ArrowRight")
    assert given_up.value.url.endswith("/rules/backtest")
    page.unroute("**/rules/backtest", hold)
    assert held
    slider(page).press("End")
    expect(differences(page)).to_have_count(1)


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


def test_who_may_only_read_tries_rules_but_saves_nothing(look: Any, team: Team):
    tab = look("rules", who="read", size="phone")
    page = tab.page
    ready(page)
    expect(page.get_by_text("that takes a key with the scope admin")).to_be_visible()
    slider(page).press("End")
    expect(differences(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    assert tab.violations() == []
    assert settings(team) == {}
    tab.goto(f"{HOME}/channels")
    unfold(page)
    expect(page.get_by_role("button", name="Add the channel")).to_be_disabled()
    assert tab.violations() == []
    tab.shoot("settings-read-only")
