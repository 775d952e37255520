import base64
import hashlib
import hmac
import time
from typing import Any

import pytest

from gradwatch_service.errors import Invalid
from gradwatch_service.notify.channels import check
from tests.messages import LINK, RUN, SUBJECT, a_test, message, over, resolved
from tests.receivers import Received, Receiver
from tests.service.notify.channels.opening import LOOPBACK, failure, opened

KEYS = (b"k" * 24, b"l" * 32)
SECRETS = tuple("whsec_" + base64.b64encode(key).decode() for key in KEYS)


def is_signed(request: Received, key: bytes) -> bool:
    """As a receiver that follows the specification checks it, written without our code."""
    headers = request.headers
    signed = b".".join(
        [headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), request.body]
    )
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    versions = [one.split(",") for one in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and found == expected for version, found in versions)


def test_the_body_is_signed_with_its_id_and_time(receiver: Receiver) -> None:
    opened("webhook", url=receiver.url, secret=SECRETS[0]).deliver(message())
    (request,) = receiver.received
    assert request.headers["webhook-id"] == str(message().delivery_id)
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    assert is_signed(request, KEYS[0])
    assert not is_signed(request, KEYS[1])


def test_two_secrets_sign_while_one_is_exchanged(receiver: Receiver) -> None:
    settings = {"secret": SECRETS[0], "previous_secret": SECRETS[1]}
    opened("webhook", url=receiver.url, **settings).deliver(message())
    assert [is_signed(receiver.received[0], key) for key in KEYS] == [True, True]


def test_the_same_message_has_the_same_id_when_it_is_sent_again(receiver: Receiver) -> None:
    channel = opened("webhook", url=receiver.url, secret=SECRETS[0])
    receiver.will_answer(503, Retry_After="7")
    assert failure(channel, message()).retry_after_seconds == 7.0
    channel.deliver(message())
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1


def sent(receiver: Receiver, *given: Any) -> list[dict[str, Any]]:
    channel = opened("webhook", url=receiver.url, secret=SECRETS[0])
    for one in given:
        channel.deliver(one)
    return [request.json for request in receiver.received]


def test_the_body_says_everything_for_machines(receiver: Receiver) -> None:
    (body,) = sent(receiver, message())
    assert body["type"] == "alert.firing"
    assert body["timestamp"] == "2026-11-27T13:00:30.000Z"
    data = body["data"]
    assert data["run"] == {"id": str(RUN), "name": "gpt-small"}
    assert (data["project"], data["severity"], data["link"]) == ("lm", "critical", LINK)
    (alert,) = data["alerts"]
    assert (alert["id"], alert["state"]) == (str(SUBJECT.alert_id), "firing")
    assert (alert["rule"], alert["cause"]) == (SUBJECT.rule, SUBJECT.cause)
    assert alert["layers"] == [*SUBJECT.layers]
    assert alert["remedies"] == [*SUBJECT.remedies]


def test_each_kind_of_message_has_its_type(receiver: Receiver) -> None:
    bodies = sent(receiver, message(), resolved(), message("digest", SUBJECT, over()), a_test())
    kinds = ["alert.firing", "alert.resolved", "alert.digest", "test"]
    assert [body["type"] for body in bodies] == kinds
    assert [alert["state"] for alert in bodies[2]["data"]["alerts"]] == ["firing", "resolved"]
    assert bodies[3]["data"]["run"] is None


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_!" + "A" * 40])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(Invalid) as caught:
        check("webhook", {"url": "https://example.org/", "secret": secret}, LOOPBACK)
    assert caught.value.errors[0].pointer == "/settings/secret"
    assert secret[8:] not in caught.value.detail or not secret[8:]
