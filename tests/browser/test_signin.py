"""Who has to show a key is led to the page that asks for it, and back; and finds the way out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradwatch_service.store.database import make_engine
from tests.browser.conftest import SCHEMES, SIZES, OpenTab, Tab
from tests.e2e.test_keys import KEYED
from tests.servers import poll
from tests.tenants import A, Keyring
from tests.tls import speaking_tls

TRUSTING = {"ignore_https_errors": True}  # nobody has signed our certificate


@pytest.fixture(scope="module")
def database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("signin") / "gradwatch.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def origin(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks everybody for a key: beyond loopback, cookies of sessions need TLS."""
    with speaking_tls(database, tmp_path_factory.mktemp("tls"), KEYED) as address:
        yield address


@pytest.fixture(scope="module")
def ring(database: str) -> Iterator[Keyring]:
    engine = make_engine(database)
    yield Keyring(engine)
    engine.dispose()


def sign_in(tab: Tab, key: str) -> None:
    tab.page.get_by_label("Key of your project").fill(key)
    tab.page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_page_that_asks_for_a_key_is_usable_by_everybody(
    origin: str, open_tab: OpenTab, size: str, scheme: str
):
    tab = open_tab(origin, "/signin", size, scheme, **TRUSTING)
    tab.page.get_by_label("Key of your project").wait_for()
    tab.page.get_by_text("Where do I get a key?").click()
    tab.page.get_by_text("gradwatch keys create --project NAME --scope read").wait_for()
    tab.shoot(f"signin-{size}-{scheme}")
    assert tab.violations() == []
    assert not tab.is_wider_than_the_screen()


def test_a_key_opens_the_page_that_was_wanted_until_somebody_signs_out(
    origin: str, ring: Keyring, open_tab: OpenTab
):
    tab = open_tab(origin, "/alerts?state=firing", **TRUSTING)
    page = tab.page
    assert page.url == f"{origin}/signin?next=/alerts%3Fstate%3Dfiring"
    sign_in(tab, ring.issue(A, "read").text)
    page.wait_for_url(f"{origin}/alerts?state=firing")
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == (
        "__Host-gradwatch",
        True,
        True,
    )
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url(f"{origin}/settings/{A}/channels")
    tab.goto("/signin?next=/.//evil.example")  # whose path begins with two slashes
    sign_in(tab, ring.issue(A, "read").text)
    page.wait_for_url(f"{origin}//evil.example")
    tab.errors.clear()  # this service has no such page
    tab.goto("/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{origin}/signin")
    assert page.context.cookies() == []
    tab.goto("/")
    assert page.url == f"{origin}/signin?next=/"


def test_a_wrong_key_is_told_why_and_can_be_mended(origin: str, ring: Keyring, open_tab: OpenTab):
    tab = open_tab(origin, "/signin", "phone", **TRUSTING)
    job_key = ring.issue(A, "ingest").text
    for wrong, words in (
        (job_key[:-1] + "-", "a letter is wrong or missing."),
        (job_key, "This key may only report"),
    ):
        sign_in(tab, wrong)
        tab.page.get_by_role("alert").filter(has_text=words).wait_for()
    tab.shoot("signin-refused-phone")
    assert tab.violations() == []
    poll(lambda: len(tab.errors) == 2, "the browser notes what was refused")
    assert all("Failed to load resource" in error for error in tab.errors)
    tab.errors.clear()
