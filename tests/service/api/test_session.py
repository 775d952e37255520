"""Sessions of the dashboards; few sign-ins are let in a minute, so each test has its own app."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest

from tests.service.api.conftest import Api, problem, served
from tests.tenants import BROWSER, Keyring

NAME = "__Host-gradwatch"


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, require_key=True) as api:
        yield api


def sign_in(api: Api, *scopes: str) -> httpx.Response:
    text = Keyring(api.app.state.backend.engine).issue("lm", *scopes).text
    answer = api.post("/session", {"key": text})
    api.client.cookies.clear()
    return answer


def cookie(answer: httpx.Response, name: str = NAME) -> dict[str, str]:
    return {"cookie": f"other=1; {name}={SimpleCookie(answer.headers['set-cookie'])[name].value}"}


def test_a_key_signs_in_and_the_cookie_says_who_it_is(keyed: Api):
    begun = sign_in(keyed, "read")
    assert begun.status_code == 201
    who = keyed.send("GET", "/session", headers=cookie(begun)).json()
    assert who == begun.json()
    assert (who["project"], who["scopes"]) == ("lm", ["read"])
    assert keyed.send("GET", "/runs", headers=cookie(begun)).status_code == 200


def test_scripts_and_other_sites_do_not_get_the_cookie(keyed: Api):
    begun = sign_in(keyed, "admin")
    said = SimpleCookie(begun.headers["set-cookie"])[NAME]
    assert (said["httponly"], said["secure"], said["samesite"]) == (True, True, "lax")
    assert (said["path"], said["domain"]) == ("/", "")
    assert 0 < int(said["max-age"]) <= 12 * 3600
    assert begun.headers["cache-control"] == "no-store"


def test_who_signs_out_is_out_at_once(keyed: Api):
    begun = sign_in(keyed, "read")
    headers = cookie(begun) | BROWSER
    assert keyed.send("GET", "/session", headers=headers).status_code == 200
    gone = keyed.send("DELETE", "/session", headers=headers)
    assert gone.status_code == 204
    assert SimpleCookie(gone.headers["set-cookie"])[NAME]["max-age"] == "0"
    answer = keyed.send("GET", "/session", headers=headers)
    assert problem(answer) == (401, "session-over")


def test_a_key_that_may_only_report_signs_nobody_in(keyed: Api):
    assert problem(sign_in(keyed, "ingest")) == (403, "wrong-scope")


@pytest.mark.parametrize(
    ("key", "code"), [("", "bad-key"), ("hunter2", "bad-key"), ("gw_é", "bad-key")]
)
def test_what_is_no_key_signs_nobody_in(keyed: Api, key, code):
    assert problem(keyed.post("/session", {"key": key})) == (401, code)


def test_one_address_has_five_tries_a_minute_right_or_wrong(keyed: Api):
    tries = [keyed.post("/session", {"key": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in tries] == [401] * 5 + [429]
    assert int(tries[-1].headers["retry-after"]) > 1
    assert sign_in(keyed, "read").status_code == 429


def test_another_sites_page_signs_nobody_in(keyed: Api):
    answer = keyed.post("/session", {"key": "x"}, **{"sec-fetch-site": "cross-site"})
    assert problem(answer) == (403, "cross-site")


def test_in_local_mode_over_plain_http_the_cookie_is_plain_and_honoured(tmp_path: Path):
    with served(tmp_path) as api:
        begun = sign_in(api, "read")
        assert not SimpleCookie(begun.headers["set-cookie"])["gradwatch"]["secure"]
        who = api.send("GET", "/session", headers=cookie(begun, "gradwatch")).json()
        assert who["project"] == "lm"
        stale = api.send("GET", "/session", headers={"cookie": "gradwatch=stale"}).json()
        assert stale == {"project": None, "scopes": ["admin", "ingest", "read"], "actor": "local"}
