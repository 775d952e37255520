"""Promise 18: no channel reaches what lies inside, in whatever form its address is written."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gradwatch_service.notify import outgoing as way_out
from gradwatch_service.notify.addresses import Allowed
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.outgoing import Outgoing
from tests.messages import message
from tests.receivers import NAME, Certificate, Receiver, mail_server, receiving
from tests.service.api.conftest import served
from tests.service.notify.channels.opening import failure, opened

# {port} is the canary's, which listens on all of these.
CANARY_ADDRESSES = ("127.0.0.1", "127.1.2.3", "::1")

FORMS = """
https://127.0.0.1:{port}/            https://127.1.2.3:{port}/           https://[::1]:{port}/
https://localhost:{port}/            https://LocalHost:{port}/           https://localhost.:{port}/
https://ip6-localhost:{port}/        https://canary.test:{port}/         https://canary.test.:{port}/
https://mixed.test:{port}/           https://xn--cnary-kva.test:{port}/  https://cänary.test:{port}/
https://2130706433:{port}/           https://0x7f000001:{port}/          https://0x7f.0.0.1:{port}/
https://0177.0.0.1:{port}/           https://017700000001:{port}/        https://127.1:{port}/
https://127.0.1:{port}/              https://0:{port}/                   https://0.0.0.0:{port}/
https://127.0.0.1.:{port}/           https://[::ffff:127.0.0.1]:{port}/  https://[::ffff:7f00:1]:{port}/
https://[::127.0.0.1]:{port}/        https://[0:0:0:0:0:0:0:1]:{port}/   https://[::]:{port}/
https://[::ffff:0:127.0.0.1]:{port}/ https://[64:ff9b::7f00:1]:{port}/   https://[64:ff9b:1::7f00:1]:{port}/
https://[64:ff9b::a9fe:a9fe]:{port}/ https://[2002:7f00:1::]:{port}/     https://[2002:a9fe:a9fe::1]:{port}/
https://[2001:0:7f00:1::1]:{port}/   https://[2001:0:0:0:0:0:80ff:fffe]:{port}/
https://[fe80::1]:{port}/            https://[fe80::1%25lo]:{port}/      https://[fc00::1]:{port}/
https://[fd00:ec2::254]:{port}/      https://[ff02::1]:{port}/           https://[2001:db8::1]:{port}/
https://169.254.169.254:{port}/      https://100.64.0.1:{port}/          https://100.100.100.200:{port}/
https://10.0.0.1:{port}/             https://172.16.0.1:{port}/          https://192.168.0.1:{port}/
https://192.0.0.192:{port}/          https://168.63.129.16:{port}/       https://198.18.0.1:{port}/
https://224.0.0.1:{port}/            https://255.255.255.255:{port}/     https://240.0.0.1:{port}/
https://①②⑦.⓪.⓪.①:{port}/      https://127。0。0。1:{port}/        https://ⓛocalhost:{port}/
https://user@127.0.0.1:{port}/       https://example.org@127.0.0.1:{port}/
https://127.0.0.1:{port}#@example.org/   https://example.org:{port}@127.0.0.1:{port}/
https://127.0.0.1%2f@canary.test:{port}/ https://canary.test\\@127.0.0.1:{port}/
http://127.0.0.1:{port}/             http://canary.test:{port}/          https://canary.test:22/
https://canary.test:80/              gopher://127.0.0.1:{port}/          file:///etc/passwd
ftp://127.0.0.1:{port}/              unix:///var/run/docker.sock         //127.0.0.1:{port}/
https:127.0.0.1:{port}/              https:///127.0.0.1:{port}/          https://:{port}/
HTTPS://127.0.0.1:{port}/            https://nat64.test:{port}/          https://sixtofour.test:{port}/
https://shared.test:{port}/          https://metadata.test:{port}/       https://zoned.test:{port}/
"""
URLS = FORMS.split()

# What names lead to; all of a name's addresses have to be outside.
NAMES = {
    "mixed.test": ["8.8.8.8", "127.0.0.1"],
    "nat64.test": ["64:ff9b::7f00:1"],
    "sixtofour.test": ["2002:7f00:1::"],
    "shared.test": ["100.64.0.1"],
    "metadata.test": ["169.254.169.254"],
    "zoned.test": ["fe80::1%lo"],
}


@dataclass
class Canary:
    """Counts every connection to it."""

    port: int = 0
    hits: list[str] = field(default_factory=list)


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    """Listens on loopback, on a port that is as good as 443 to the guard."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server((CANARY_ADDRESSES[0], 0)))
        counting = Canary(first.getsockname()[1])
        listeners = [first]
        for address in CANARY_ADDRESSES[1:]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, counting.port), family=family)
            listeners.append(stack.enter_context(listener))
        for listener in listeners:
            stack.enter_context(_counted(listener, counting))
        monkeypatch.setattr(way_out, "WEB_PORTS", frozenset({443, counting.port}))
        monkeypatch.setattr(way_out, "MAIL_PORTS", frozenset({587, counting.port}))
        yield counting


@contextmanager
def _counted(listener: socket.socket, canary: Canary) -> Iterator[None]:
    listener.settimeout(0.05)
    stop = threading.Event()

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, peer = listener.accept()
            except TimeoutError:
                continue
            canary.hits.append(peer[0])
            connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    yield
    stop.set()
    thread.join()


def resolve(host: str, _: int) -> list[str]:
    """A resolver in whose eyes every name leads to the canary, if to nothing worse."""
    return NAMES.get(host, ["127.0.0.1"])


GUARDED = Outgoing(resolve=resolve, deadline_seconds=5)


def test_there_are_more_than_forty_forms() -> None:
    assert len(set(URLS)) >= 40


@pytest.mark.parametrize("form", URLS)
def test_no_form_of_an_address_leads_inside(form: str, canary: Canary) -> None:
    with pytest.raises(UndeliveredError) as caught:
        GUARDED.send("POST", form.format(port=canary.port), {}, b"{}")
    assert caught.value.permanent
    assert canary.hits == []


def test_the_canary_sees_who_is_not_guarded(canary: Canary) -> None:
    for address in CANARY_ADDRESSES:
        socket.create_connection((address, canary.port), 5).close()
    allowed = Outgoing(Allowed.parse("canary.test"), resolve=resolve, deadline_seconds=5)
    with pytest.raises(UndeliveredError) as caught:  # it answers nothing
        allowed.send("GET", f"http://canary.test:{canary.port}/", {})
    assert not caught.value.permanent
    assert len(canary.hits) == 4


def test_no_form_is_taken_by_the_api(canary: Canary, tmp_path: Path) -> None:
    """Refused at once, or, where only the resolver can tell, when a message is to be sent."""
    statuses = set()
    with served(tmp_path, embedded_worker=False) as api:
        api.app.state.backend.outgoing._resolve = resolve
        for number, form in enumerate(URLS):
            settings = {"url": form.format(port=canary.port)}
            body = {"kind": "slack", "name": "x", "settings": settings}
            path = f"/projects/p{number}/channels"
            answer = api.post(path, body)
            if answer.status_code == 201:
                answer = api.post(f"{path}/{answer.json()['id']}/test", {})
            statuses.add(answer.status_code)
    assert statuses == {422, 502}
    assert canary.hits == []


class Rebinding:
    """Answers otherwise when it is asked again."""

    def __init__(self, *answers: list[str]) -> None:
        self.asked = 0
        self._answers = answers

    def __call__(self, *_: object) -> list[str]:
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


def test_a_name_that_changes_its_address_is_asked_once(
    canary: Canary, certificate: Certificate
) -> None:
    """127.9.9.9 plays the outside: what was checked is what is connected to."""
    resolver = Rebinding(["127.9.9.9"], ["127.0.0.1"])
    guarded = Outgoing(
        Allowed.parse("127.9.9.9"), resolve=resolver, tls=certificate.client, deadline_seconds=5
    )
    with receiving(certificate.server, "127.9.9.9") as outside:
        answer = guarded.send("POST", f"https://{NAME}:{outside.port}/hook", {}, b"{}")
    assert (answer.status, resolver.asked, canary.hits) == (200, 1, [])
    assert [request.headers["host"] for request in outside.received] == [f"{NAME}:{outside.port}"]


def test_an_address_that_turned_inside_is_refused(canary: Canary) -> None:
    resolver = Rebinding(["127.0.0.1"], ["127.9.9.9"])
    guarded = Outgoing(Allowed.parse("127.9.9.9"), resolve=resolver, deadline_seconds=5)
    with pytest.raises(UndeliveredError):
        guarded.send("POST", f"https://rebinding.test:{canary.port}/", {}, b"")
    assert (resolver.asked, canary.hits) == (1, [])


def test_a_redirect_is_not_followed(canary: Canary, receiver: Receiver) -> None:
    for status in (301, 302, 303, 307, 308):
        receiver.will_answer(status, Location=f"http://127.0.0.1:{canary.port}/")
    allowed = Outgoing(Allowed.parse(f"127.0.0.1:{receiver.port}"))
    for _ in range(5):
        assert failure(opened("slack", allowed, url=receiver.url), message()).permanent
    assert (len(receiver.received), canary.hits) == (5, [])


def test_proxies_of_the_environment_are_not_asked(
    canary: Canary, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    allowed = Outgoing(Allowed.parse(f"127.0.0.1:{receiver.port}"))
    opened("slack", allowed, url=receiver.url).deliver(message())
    assert (len(receiver.received), canary.hits) == (1, [])


@pytest.mark.parametrize(
    ("scheme", "url"),
    [
        ("json", "json://127.0.0.1:{port}/"),
        ("jsons", "jsons://canary.test:{port}/"),
        ("slack", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"),
        ("discord", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"),
    ],
)
def test_apprise_takes_the_same_way(scheme: str, url: str, canary: Canary) -> None:
    """Even where its hosts are fixed: to this resolver all of them lie inside."""
    guarded = Outgoing(resolve=resolve, schemes=frozenset({scheme}), deadline_seconds=5)
    channel = opened("apprise", guarded, url=url.format(port=canary.port))
    error = failure(channel, message())
    assert error.permanent
    assert "internal network" in error.detail or "https on port" in error.detail
    assert canary.hits == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "canary.test", "127.1", "metadata.test"])
def test_mail_takes_the_same_way(host: str, canary: Canary) -> None:
    settings = {"host": host, "port": canary.port, "sender": "a@b.org", "to": ["c@d.org"]}
    assert failure_of_mail(GUARDED, **settings).permanent
    assert canary.hits == []


def test_mail_reaches_what_the_operator_allows() -> None:
    with mail_server() as mailbox:
        settings = {"host": "127.0.0.1", "port": mailbox.port, "security": "none"}
        allowed = Outgoing(Allowed.parse("127.0.0.1"))
        opened("email", allowed, **settings, sender="a@b.org", to=["c@d.org"]).deliver(message())
    assert len(mailbox.taken) == 1


def failure_of_mail(outgoing: Outgoing, **settings: object) -> UndeliveredError:
    try:
        return failure(opened("email", outgoing, **settings), message())
    except UndeliveredError as error:  # it shows without asking a resolver
        return error
