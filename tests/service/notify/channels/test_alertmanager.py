"""Against a real Alertmanager, which tells a real receiver."""

import datetime as dt
import uuid
from dataclasses import replace

import pytest
from pydantic import ValidationError

from gradwatch_service.domain import Severity
from gradwatch_service.notify.channels.alertmanager import HELD, LISTED_BYTES_MAX
from gradwatch_service.notify.message import Message, Subject
from gradwatch_service.settings import Settings
from tests.messages import LINK, RUN, SUBJECT, a_test, message, over
from tests.receivers import Alertmanager, Receiver
from tests.servers import poll
from tests.service.notify.channels.opening import failure, opened


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def fresh(subject: Subject = SUBJECT) -> Subject:
    """Alertmanager compares with the clock."""
    return replace(subject, opened_at=now() - dt.timedelta(seconds=30))


def told(kind: str, *subjects: Subject) -> Message:
    return message(kind, *subjects, at=now())


@pytest.mark.alertmanager
def test_what_fires_and_what_ends_pair_up(alertmanager: Alertmanager) -> None:
    channel, subject = opened("alertmanager", url=alertmanager.url), fresh()
    channel.deliver(told("firing", subject))
    poll(lambda: len(alertmanager.told()) == 1, "Alertmanager tells that it fires")
    channel.deliver(told("resolved", replace(subject, is_firing=False, ended_at=now())))
    poll(lambda: len(alertmanager.told()) == 2, "Alertmanager tells that it is over")
    (first, labels), (second, same_labels) = alertmanager.told()
    assert (first, second) == ("firing", "resolved")
    assert labels == same_labels
    assert labels == {
        "alertname": "update-step-huge",
        "cause": "learning-rate-too-high",
        "severity": "critical",
        "project": "lm",
        "run": "gpt-small",
        "run_id": str(RUN),
        "alert_id": str(SUBJECT.alert_id),
        "source": "gradwatch",
    }


@pytest.mark.alertmanager
def test_annotations_say_what_is_wrong_and_what_to_do(alertmanager: Alertmanager) -> None:
    opened("alertmanager", url=alertmanager.url + "/").deliver(told("firing", fresh()))
    (alert,) = alertmanager.alerts()
    assert alert["annotations"]["summary"] == SUBJECT.title
    assert alert["annotations"]["description"] == SUBJECT.explanation
    assert alert["annotations"]["remedy"].startswith("1. Multiply the learning rate by 0.5")
    assert alert["annotations"]["layers"] == "layers W_hh, W_xh, b_h and 2 more"
    assert alert["generatorURL"] == LINK


@pytest.mark.alertmanager
def test_an_alert_that_gets_worse_does_not_fire_twice(alertmanager: Alertmanager) -> None:
    channel = opened("alertmanager", url=alertmanager.url)
    mild = replace(fresh(), severity=Severity.WARNING, rule="gradient-spike")
    other = replace(fresh(), alert_id=RUN, cause="one-layer")
    channel.deliver(told("firing", mild, other))
    channel.deliver(told("firing", replace(mild, severity=Severity.CRITICAL, rule="non-finite")))
    poll(lambda: len(alertmanager.alerts()) == 2, "the milder form has ended")
    firing = {(one["labels"]["cause"], one["labels"]["severity"]) for one in alertmanager.alerts()}
    assert firing == {("learning-rate-too-high", "critical"), ("one-layer", "critical")}


@pytest.mark.alertmanager
def test_it_fires_for_longer_than_until_it_is_told_again(alertmanager: Alertmanager) -> None:
    opened("alertmanager", url=alertmanager.url).deliver(told("firing", fresh()))
    (alert,) = alertmanager.alerts()
    assert dt.datetime.fromisoformat(alert["endsAt"]) > now() + dt.timedelta(days=89)


@pytest.mark.alertmanager
def test_hostile_names_are_labels_like_others(alertmanager: Alertmanager) -> None:
    hostile = replace(fresh(), run_name='"},{"\\ <!channel> {{ .Labels }}', layers=("<!here>",))
    opened("alertmanager", url=alertmanager.url).deliver(told("firing", hostile))
    (alert,) = alertmanager.alerts()
    assert alert["labels"]["run"] == hostile.run_name
    assert "<!" not in alert["annotations"]["layers"]


@pytest.mark.alertmanager
def test_a_run_without_a_name_fires_and_a_digest_is_of_many_runs(
    alertmanager: Alertmanager,
) -> None:
    nameless = [
        replace(fresh(), run_id=uuid.uuid4(), alert_id=uuid.uuid4(), run_name="") for _ in range(60)
    ]
    for _ in range(2):
        opened("alertmanager", url=alertmanager.url).deliver(told("digest", *nameless))
    assert len(alertmanager.alerts()) == 60


@pytest.mark.alertmanager
def test_a_test_message_ends_by_itself(alertmanager: Alertmanager) -> None:
    opened("alertmanager", url=alertmanager.url).deliver(replace(a_test(), at=now()))
    (alert,) = alertmanager.alerts()
    assert alert["labels"]["alertname"] == "gradwatch-test"
    assert dt.datetime.fromisoformat(alert["endsAt"]) < now() + dt.timedelta(minutes=6)


def test_a_proxy_before_it_gets_the_header_it_asks_for(receiver: Receiver) -> None:
    receiver.will_answer(200, b"[]")
    channel = opened("alertmanager", url=receiver.url, authorization="Bearer abc")
    channel.deliver(message("resolved", over()))
    assert {request.headers["authorization"] for request in receiver.received} == {"Bearer abc"}


def test_a_proxy_that_asks_for_another_is_a_channel_to_be_mended(receiver: Receiver) -> None:
    receiver.will_answer(401)
    assert failure(opened("alertmanager", url=receiver.url), message()).permanent


@pytest.mark.parametrize(
    "listed",
    [
        b"<html>",
        b"[" * 100_000,
        b"\xff",
        b"7",
        b"[7]",
        b"[{}]",
        b'[{"labels": null}]',
        b'[{"labels": "alert_id"}]',
        b'[{"labels": ["alert_id"]}]',
    ],
)
def test_what_does_not_list_its_alerts_is_no_alertmanager(
    receiver: Receiver, listed: bytes
) -> None:
    receiver.will_answer(200, listed)
    error = failure(opened("alertmanager", url=receiver.url), message())
    assert error.permanent
    assert error.detail == "the receiver does not answer as an Alertmanager does"


def test_labels_that_are_no_texts_are_of_no_alert_of_ours(receiver: Receiver) -> None:
    receiver.will_answer(200, b'[{"labels": {"alert_id": []}}]')
    opened("alertmanager", url=receiver.url).deliver(message())
    assert len(receiver.received[1].json) == 1


def test_a_list_that_is_too_long_to_be_read_may_get_shorter(receiver: Receiver) -> None:
    receiver.will_answer(200, b"[" + b" " * LISTED_BYTES_MAX + b"]")
    error = failure(opened("alertmanager", url=receiver.url), message())
    assert (error.permanent, error.detail) == (False, "the receiver lists too many alerts")


def test_it_is_told_again_long_before_it_would_end_there() -> None:
    Settings(repeat_seconds=HELD.total_seconds() / 3)
    with pytest.raises(ValidationError):
        Settings(repeat_seconds=HELD.total_seconds() / 2)
