import uuid
from dataclasses import replace

import pytest

from gradwatch_service.domain import Severity
from gradwatch_service.notify.channels import check, kinds, masked
from gradwatch_service.notify.options import Options
from gradwatch_service.notify.outgoing import Outgoing
from tests.messages import SUBJECT, a_test, message, over, resolved

MILD = replace(SUBJECT, severity=Severity.WARNING)
STRICT = Options(min_severity="error")


def test_everything_is_wanted_if_nothing_is_said() -> None:
    for one in (message(), resolved(), message("firing", MILD), a_test()):
        assert Options().selected(one) == one


def test_what_is_milder_is_left_out() -> None:
    assert STRICT.selected(message("firing", MILD)) is None
    assert STRICT.selected(message("firing", SUBJECT, MILD)) == message("firing", SUBJECT)


def test_what_was_told_of_ends_although_something_milder_still_fires() -> None:
    assert STRICT.selected(message("firing", MILD, over())) == message("resolved", over())


def test_news_of_what_is_milder_is_no_news() -> None:
    known = replace(SUBJECT, is_news=False)
    assert STRICT.selected(message("firing", known, MILD)) is None
    assert STRICT.selected(message("firing", known, repeats=True)) is not None


def test_resolutions_can_be_left_out() -> None:
    quiet = Options(send_resolved=False)
    assert quiet.selected(resolved()) is None
    assert quiet.selected(message("firing", SUBJECT, over(MILD))) is not None


def test_a_test_always_arrives() -> None:
    assert Options(min_severity="critical").selected(a_test()) is not None


SETTINGS = {
    "slack": {"url": "https://hooks.slack.com/services/T0/B0/s3cret"},
    "webhook": {"url": "https://example.org/s3cret", "secret": "whsec_" + "s3cr" * 10},
    "alertmanager": {"url": "https://example.org/s3cret", "authorization": "Bearer s3cret"},
    "pagerduty": {"routing_key": "s3cret"},
    "apprise": {"url": "discord://4174216298/s3cret"},
    "email": {
        "host": "mail.example.org",
        "sender": "a@b.org",
        "to": ["c@d.org"],
        "username": "somebody",
        "password": "s3cret",
    },
}
OUTSIDE = Outgoing(schemes=frozenset({"discord"}))


def test_every_kind_is_tried_here() -> None:
    assert SETTINGS.keys() == kinds().keys()


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_no_kind_shows_a_secret(kind: str) -> None:
    checked = check(kind, SETTINGS[kind], OUTSIDE)
    stored = checked.stored()
    assert "s3cr" in str(stored)
    assert "s3cr" not in f"{masked(kind, stored)} {checked!r}"
    assert check(kind, stored, OUTSIDE) == checked


def test_an_address_is_shown_as_far_as_it_tells_which_it_is() -> None:
    assert masked("slack", SETTINGS["slack"]) == {"url": "https://hooks.slack.com/***"}
    assert masked("apprise", SETTINGS["apprise"]) == {"url": "discord://***"}
    assert masked("of-a-later-version", {"url": "x"}) == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org?token=abc", "https://example.org/***"),
        ("https://example.org#abc", "https://example.org/***"),
        ("https://abc:abc@example.org/", "https://example.org/***"),
        ("https://example.org\\abc", "https://example.org/***"),
        ("discord://abc", "discord://***"),
        ("abc", "***"),
    ],
)
def test_of_an_address_nothing_but_the_host_is_shown(url: str, shown: str) -> None:
    assert masked("slack", {"url": url}) == {"url": shown}


def test_a_secret_that_looks_like_an_address_is_none() -> None:
    assert masked("email", {"password": "https://my-pass"}) == {"password": "***"}
    assert masked("alertmanager", {"authorization": "my://pass"}) == {"authorization": "***"}


def test_the_end_of_a_run_is_told_although_more_is_asked_for_since() -> None:
    assert STRICT.selected(message("resolved", over(MILD))) == message("resolved", over(MILD))
    other = replace(over(MILD), run_id=uuid.UUID(int=7))
    told = STRICT.selected(message("digest", SUBJECT, MILD, other))
    assert told == message("digest", SUBJECT, other)


def test_of_an_end_only_what_is_grave_is_told_where_something_is() -> None:
    assert STRICT.selected(message("resolved", over(), over(MILD))) == message("resolved", over())
