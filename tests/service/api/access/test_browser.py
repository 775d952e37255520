import pytest

from gradwatch_service.api.access.browser import check_host, check_site
from gradwatch_service.errors import Forbidden

OWN = {b"host": b"watch.example:8321"}


@pytest.mark.parametrize(
    "host",
    [b"localhost:8321", b"127.0.0.1", b"127.1.2.3:1", b"[::1]:8321", b"a.localhost", b"LOCALHOST"],
)
def test_the_names_of_loopback_always_lead_here(host):
    check_host({b"host": host}, frozenset())


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"127.0.0.1.evil.example", b"localhost.evil.test", b"10.0.0.5", b""],
)
def test_other_names_lead_here_only_if_they_are_listed(host):
    with pytest.raises(Forbidden):
        check_host({b"host": host}, frozenset({"watch.example"}))
    check_host({b"host": host}, None)


@pytest.mark.parametrize("host", [b"watch.example", b"Watch.Example:443", b"watch.example."])
def test_a_listed_name_leads_here(host):
    check_host({b"host": host}, frozenset({"watch.example"}))


def test_a_request_without_a_host_is_refused_where_names_matter():
    with pytest.raises(Forbidden):
        check_host({}, frozenset())


@pytest.mark.parametrize(
    "said",
    [
        {b"sec-fetch-site": b"same-origin"},
        {b"sec-fetch-site": b"none"},
        {b"origin": b"https://watch.example:8321"},
        {b"sec-fetch-site": b"same-origin", b"origin": b"https://evil.example"},
    ],
)
def test_our_own_pages_may_ask(said):
    check_site(OWN | said, must_say=True)


@pytest.mark.parametrize(
    "said",
    [
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-site"},
        {b"sec-fetch-site": b"cross-site", b"origin": b"https://watch.example:8321"},
        {b"origin": b"https://evil.example"},
        {b"origin": b"https://watch.example"},
        {b"origin": b"null"},
        {b"origin": b""},
    ],
)
@pytest.mark.parametrize("must_say", [True, False])
def test_pages_of_other_sites_may_not(said, must_say):
    with pytest.raises(Forbidden):
        check_site(OWN | said, must_say=must_say)


def test_what_is_no_browser_says_nothing_and_may_unless_a_cookie_speaks_for_it():
    check_site(OWN, must_say=False)
    with pytest.raises(Forbidden):
        check_site(OWN, must_say=True)
