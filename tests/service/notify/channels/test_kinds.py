import pytest

from gradwatch_service.errors import Invalid
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.channels import check, kinds, open_channel
from gradwatch_service.notify.outgoing import Outgoing
from tests.service.notify.channels.opening import LOOPBACK


def test_the_kinds_are_the_files_of_the_folder() -> None:
    expected = ["alertmanager", "apprise", "email", "pagerduty", "slack", "webhook"]
    assert [*kinds()] == expected


def test_an_unknown_kind_is_told_which_there_are() -> None:
    with pytest.raises(Invalid) as caught:
        check("pigeon", {}, LOOPBACK)
    assert caught.value.detail.startswith("there are these kinds of channel: alertmanager, apprise")


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({}, "url: Field required"),
        ({"url": 7}, "url: Input should be a valid string"),
        ({"url": "hello"}, "url: it must begin with https://"),
        ({"url": "https://10.0.0.1/"}, "url: it leads into an internal network; only the operator"),
        ({"url": "https://x.org/", "hi": 1}, "there are only these settings: min_severity, "),
        (
            {"url": "https://x.org/", "min_severity": "loud"},
            "min_severity: Input should be 'info', 'warning', 'error' or 'critical'",
        ),
    ],
)
def test_settings_that_are_wrong_are_told_so_in_plain_words(
    settings: dict[str, object], detail: str
) -> None:
    with pytest.raises(Invalid) as caught:
        check("slack", settings, Outgoing())
    assert caught.value.detail.startswith(detail)


def test_settings_that_were_good_once_are_a_channel_to_be_mended() -> None:
    with pytest.raises(UndeliveredError) as caught:
        open_channel("slack", {"url": "http://127.0.0.1/"}, Outgoing())
    assert caught.value.permanent
    assert caught.value.detail.startswith("its settings: url: it leads into an internal network")
