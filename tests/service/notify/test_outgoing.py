import socket
import time
from collections.abc import Callable

import pytest

from gradwatch_service.notify.addresses import Allowed
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.outgoing import ANSWER_BYTES_MAX, Outgoing
from gradwatch_service.settings import Settings
from tests.receivers import NAME, Certificate, Receiver, receiving

ALLOWED = Allowed.parse("127.0.0.0/8")
BRIEF = Outgoing(ALLOWED, deadline_seconds=0.5)


def refusal(outgoing: Outgoing, url: str) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as caught:
        outgoing.send("GET", url, {})
    return caught.value


def test_a_request_arrives_as_it_was_sent(receiver: Receiver) -> None:
    receiver.will_answer(418, b"short and stout", X_Kind="Teapot")
    answer = BRIEF.send("PUT", f"{receiver.url}/a?b=c", {"X-Own": "1"}, b"body")
    (request,) = receiver.received
    assert (request.method, request.path, request.body) == ("PUT", "/a?b=c", b"body")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["x-own"] == "1"
    assert (answer.status, answer.headers["x-kind"], answer.body) == (
        418, "Teapot", b"short and stout",
    )  # fmt: skip


def test_a_long_answer_is_cut(receiver: Receiver) -> None:
    receiver.will_answer(200, b"x" * 5_000_000)
    assert BRIEF.send("GET", receiver.url, {}).body == b"x" * ANSWER_BYTES_MAX


def test_cookies_are_not_kept(receiver: Receiver) -> None:
    receiver.will_answer(200, Set_Cookie="a=b")
    for _ in range(2):
        BRIEF.send("GET", receiver.url, {})
    assert not any("cookie" in request.headers for request in receiver.received)


def drip_head(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"H")
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    drip_head(connection)


def hang(_: socket.socket) -> None:
    time.sleep(2)


@pytest.mark.parametrize("slowly", [drip_head, drip_body, hang])
def test_whoever_answers_slowly_is_cut_off(
    receiver: Receiver, slowly: Callable[[socket.socket], None]
) -> None:
    receiver.answer_slowly = slowly
    error = refusal(BRIEF, receiver.url)
    assert error.detail == "it did not answer within 0.5 s"
    assert not error.permanent


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    def resolve(*_: object) -> list[str]:
        time.sleep(2)
        return ["127.0.0.1"]

    error = refusal(Outgoing(resolve=resolve, deadline_seconds=0.2), "https://example.org/")
    assert error.detail == "it did not answer within 0.2 s"


def test_a_name_that_is_not_known_is_not_for_ever() -> None:
    def resolve(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    error = refusal(Outgoing(resolve=resolve), "https://example.org/")
    assert (error.detail, error.permanent) == ("its name is not known (DNS)", False)


def test_nobody_there_is_not_for_ever() -> None:
    with receiving() as gone:
        url = gone.url
    error = refusal(BRIEF, url)
    assert (error.detail, error.permanent) == ("it cannot be reached", False)


def test_the_next_address_is_tried_where_the_first_is_dead() -> None:
    with receiving(host="127.0.0.2") as receiver:
        guarded = Outgoing(ALLOWED, resolve=lambda *_: ["127.0.0.3", "127.0.0.2"])
        assert guarded.send("GET", f"http://{NAME}:{receiver.port}/", {}).status == 200


def test_a_certificate_is_checked_against_the_name(certificate: Certificate) -> None:
    def to(name: str) -> str:
        return f"https://{name}:{receiver.port}/"

    guarded = Outgoing(ALLOWED, resolve=lambda *_: ["127.0.0.1"], tls=certificate.client)
    with receiving(certificate.server) as receiver:
        assert guarded.send("GET", to(NAME), {}).status == 200
        error = refusal(guarded, to("other.test"))
        unknown = refusal(Outgoing(ALLOWED, resolve=lambda *_: ["127.0.0.1"]), to(NAME))
    assert error.detail.startswith("its certificate cannot be trusted")
    assert unknown.detail.startswith("its certificate cannot be trusted")
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("allow", "url", "is_allowed"),
    [
        ("", "https://example.org/", True),
        ("", "https://example.org:8443/", True),
        ("", "https://example.org:9093/", False),
        ("", "http://alertmanager:9093/", False),
        ("alertmanager:9093", "http://alertmanager:9093/", True),
        ("alertmanager:9093", "http://ALERTMANAGER:9093/", True),
        ("alertmanager:9093", "http://alertmanager:9094/", False),
        ("alertmanager", "http://alertmanager:9094/", True),
        ("10.0.0.0/8", "http://10.1.2.3:9093/", True),
        ("10.0.0.0/8", "http://11.1.2.3:9093/", False),
        ("10.0.0.0/8", "http://alertmanager:9093/", True),  # its address decides later
        ("[::1]:9093, 10.0.0.1", "http://[::1]:9093/", True),
        ("::1", "http://[::1]:1/", True),
    ],
)
def test_only_the_operator_allows_what_lies_inside(allow: str, url: str, is_allowed: bool) -> None:
    outgoing = Outgoing.of(Settings(outgoing_allow=allow))
    assert (outgoing.why_not(url) == "") is is_allowed


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "a b:c", "http://x", "x:0", "x:99999", "a/b"])
def test_what_the_operator_mistypes_is_told_at_the_start(wrong: str) -> None:
    with pytest.raises(ValueError, match="GRADWATCH_OUTGOING_ALLOW"):
        Outgoing.of(Settings(outgoing_allow=wrong))


def test_an_allowed_network_does_not_allow_its_neighbour(receiver: Receiver) -> None:
    guarded = Outgoing(Allowed.parse("10.0.0.0/8"), resolve=lambda *_: ["10.0.0.1", "127.0.0.1"])
    assert refusal(guarded, f"http://mixed.test:{receiver.port}/").permanent
    assert receiver.received == []


def test_all_requests_of_a_message_share_the_time_that_the_operator_sets(
    receiver: Receiver,
) -> None:
    settings = Settings(outgoing_allow="127.0.0.1", delivery_timeout_seconds=0.5)
    outgoing = Outgoing.of(settings)
    begun = outgoing.begun()
    time.sleep(0.5)
    assert refusal(begun, receiver.url).detail == "it did not answer within 0.5 s"
    assert receiver.received == []
    assert outgoing.begun().send("GET", receiver.url, {}).status == 200
