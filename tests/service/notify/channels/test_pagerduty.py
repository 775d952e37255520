import socket
import time
import uuid
from dataclasses import replace

from gradwatch_service.notify.addresses import Allowed
from gradwatch_service.notify.channels import check
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.outgoing import Outgoing
from tests.messages import LINK, RUN, SUBJECT, a_test, message, over, resolved
from tests.receivers import Receiver
from tests.service.notify.channels.opening import LOOPBACK, failure, opened

OTHER = replace(SUBJECT, run_id=uuid.UUID(int=7), run_name="other")


def test_a_run_has_one_incident_that_is_triggered_and_resolved(receiver: Receiver) -> None:
    channel = opened("pagerduty", routing_key="key", url=receiver.url)
    channel.deliver(message())
    channel.deliver(resolved())
    first, second = (request.json for request in receiver.received)
    assert first["routing_key"] == second["routing_key"] == "key"
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == second["dedup_key"] == f"gradwatch/{RUN}"


def test_the_incident_says_what_is_wrong(receiver: Receiver) -> None:
    opened("pagerduty", routing_key="key", url=receiver.url).deliver(message())
    event = receiver.received[0].json
    payload = event["payload"]
    assert payload["summary"].startswith("CRITICAL: gpt-small: The learning rate is too high")
    assert (payload["severity"], payload["source"]) == ("critical", "gradwatch/lm")
    assert "What to do:" in payload["custom_details"]["message"]
    assert event["links"] == [{"href": LINK, "text": "Open in Gradwatch"}]


def test_a_digest_touches_the_incident_of_every_run(receiver: Receiver) -> None:
    digest = message("digest", SUBJECT, over(OTHER), run_id=None)
    opened("pagerduty", routing_key="key", url=receiver.url).deliver(digest)
    taken = {one.json["dedup_key"]: one.json for one in receiver.received}
    assert {key: event["event_action"] for key, event in taken.items()} == {
        f"gradwatch/{RUN}": "trigger",
        f"gradwatch/{OTHER.run_id}": "resolve",
    }
    summary = taken[f"gradwatch/{RUN}"]["payload"]["summary"]
    assert summary.startswith("CRITICAL: gpt-small: The")


def many(count: int) -> Message:
    """A digest of so many runs."""
    ids = [uuid.UUID(int=number) for number in range(1, count + 1)]
    return message("digest", *(replace(SUBJECT, run_id=one) for one in ids), run_id=None)


def test_a_long_digest_touches_the_incident_of_every_run(receiver: Receiver) -> None:
    opened("pagerduty", routing_key="key", url=receiver.url).deliver(many(200))
    assert {one.json["dedup_key"] for one in receiver.received} == {
        f"gradwatch/{uuid.UUID(int=number)}" for number in range(1, 201)
    }


def test_a_digest_that_is_not_told_in_time_is_not_told(receiver: Receiver) -> None:
    """Each answer comes soon enough; only all of them together take too long."""
    receiver.answer_slowly = answer_after_a_while
    brief = Outgoing(Allowed.parse("127.0.0.1"), deadline_seconds=1)
    channel = opened("pagerduty", brief, routing_key="key", url=receiver.url)
    error = failure(channel, many(200))
    assert (error.permanent, error.detail) == (False, "it did not answer within 1 s")
    channel.deliver(many(1))  # the next message has a time of its own


def answer_after_a_while(connection: socket.socket) -> None:
    time.sleep(0.2)
    connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")


def test_a_test_ends_its_own_incident(receiver: Receiver) -> None:
    opened("pagerduty", routing_key="key", url=receiver.url).deliver(a_test())
    assert [one.json["event_action"] for one in receiver.received] == ["trigger", "resolve"]


def test_a_wrong_key_is_permanent_and_not_repeated(receiver: Receiver) -> None:
    receiver.will_answer(400, b'{"status":"invalid event"}')
    error = failure(opened("pagerduty", routing_key="my-key", url=receiver.url), message())
    assert error.permanent
    assert "my-key" not in error.detail


def test_without_an_address_it_is_pagerdutys_own() -> None:
    settings = check("pagerduty", {"routing_key": "key"}, LOOPBACK).stored()
    assert settings["url"] == "https://events.pagerduty.com/v2/enqueue"
