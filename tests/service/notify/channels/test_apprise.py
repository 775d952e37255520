"""Through the real library, to a real HTTPS server that answers in the place of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from gradwatch_service.errors import Invalid
from gradwatch_service.notify.addresses import Allowed
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.channels import check
from gradwatch_service.notify.outgoing import Answer, Outgoing
from gradwatch_service.settings import Settings
from tests.messages import message, resolved, with_curves
from tests.receivers import Receiver, receiving
from tests.service.notify.channels.opening import failure, opened

DEFAULT = Outgoing.of(Settings())
JSON = frozenset({"json"})

# One URL of each kind that is allowed at first, as Apprise's own documentation shows them.
URLS = {
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "feishu": "feishu://abc123",
    "gchat": "gchat://workspace/key/token",
    "incidentio": "incidentio://01ABCDEF/token123",
    "lark": "lark://abcdef123456",
    "line": "line://token/Uabcdef",
    "opsgenie": "opsgenie://a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "pagertree": "pagertree://int_abcdefghij",
    "pbul": "pbul://abcdef",
    "pover": "pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ryver": "ryver://apprise/ckhrjW8w672m6HG",
    "signl4": "signl4://secret123",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
    "tgram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
    "wxteams": "wxteams://" + "a" * 80,
}


@dataclass(frozen=True)
class Json:
    """Apprise's ``json://`` at a receiver, which an operator has allowed both."""

    receiver: Receiver
    outgoing: Outgoing

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.receiver.port}/hook"


@pytest.fixture
def posting() -> Iterator[Json]:
    with receiving() as receiver:
        allowed = Allowed.parse("127.0.0.1")
        yield Json(receiver, Outgoing(allowed, schemes=JSON, deadline_seconds=5))


def test_a_message_arrives_with_the_picture(posting: Json) -> None:
    channel = opened("apprise", posting.outgoing, url=posting.url)
    channel.deliver(with_curves(message()))
    channel.deliver(resolved())
    first, second = (request.json for request in posting.receiver.received)
    assert first["title"] == "CRITICAL: gpt-small: The learning rate is too high (step 212)"
    assert first["message"].startswith("Where: layers W_hh, W_xh, b_h")
    assert [one["filename"] for one in first["attachments"]] == ["run.png"]
    assert (first["type"], second["type"]) == ("failure", "success")


@pytest.mark.parametrize(("status", "permanent"), [(404, True), (403, True), (503, False)])
def test_why_it_fails_is_what_the_service_answered(
    posting: Json, status: int, permanent: bool
) -> None:
    posting.receiver.will_answer(status, Retry_After="9")
    error = failure(opened("apprise", posting.outgoing, url=posting.url), message())
    assert (error.permanent, error.retry_after_seconds) == (permanent, 9.0)
    assert error.detail.startswith(f"the receiver answered {status}")


def test_nobody_there_is_not_for_ever(posting: Json) -> None:
    with receiving() as gone:
        url = f"json://127.0.0.1:{gone.port}/"
    assert not failure(opened("apprise", posting.outgoing, url=url), message()).permanent


def test_a_redirect_is_not_followed(posting: Json) -> None:
    posting.receiver.will_answer(302, Location=f"{posting.receiver.url}/elsewhere")
    assert failure(opened("apprise", posting.outgoing, url=posting.url), message()).permanent
    assert len(posting.receiver.received) == 1


def test_the_docs_of_the_setting_name_every_kind_that_is_tried_here() -> None:
    assert URLS.keys() == DEFAULT.schemes


@pytest.mark.parametrize("scheme", sorted(URLS))
def test_the_kinds_that_are_allowed_at_first_have_hosts_of_their_own(
    scheme: str,
) -> None:
    """Nothing in such a URL chooses the host, and nothing is asked but our way out."""
    asked: list[str] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    guarded = Outgoing(resolve=resolve, schemes=DEFAULT.schemes, deadline_seconds=5)
    error = failure(opened("apprise", guarded, url=URLS[scheme]), message())
    assert error.permanent
    assert "internal network" in error.detail
    assert len(set(asked)) == 1
    assert asked[0].rpartition(".")[2] in {"com", "net", "io", "me", "cn", "org"}
    hosts = [part for part in URLS[scheme].partition("://")[2].split("/") if part]
    assert asked[0] not in hosts


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/",
        "xmls://example.org/",
        "forms://example.org/",
        "mailto://user:password@example.org",
        "dbus://",
        "gnome://",
        "macosx://",
        "windows://",
        "syslog://",
        "rsyslog://127.0.0.1",
        "file:///etc/passwd",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "slack",
        "",
    ],
)
def test_other_kinds_wait_for_the_operator(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        check("apprise", {"url": url}, DEFAULT)
    assert url == "" or "the operator allows these kinds" in caught.value.detail


@pytest.mark.parametrize(
    "parameters", ["template=/etc/passwd", "verify=no", "attach=/etc/passwd", "redirect=yes", "a"]
)
def test_parameters_cannot_name_files_or_switch_off_checks(parameters: str) -> None:
    with pytest.raises(Invalid) as caught:
        check("apprise", {"url": f"{URLS['discord']}?{parameters}"}, DEFAULT)
    assert caught.value.errors[0].code == "parameter-refused"


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("discord", f"{URLS['discord']}/?priority=1;template=/tmp/x.json"),
        ("discord", f"{URLS['discord']}/#?template=/any/file"),
        ("discord", f"{URLS['discord']}#?template=/any/file"),
        ("discord", f"{URLS['discord']}?te%6Dplate=/any/file"),
        ("discord", f"{URLS['discord']}?format=text&&priority=1"),
        ("slack", f"{URLS['slack']}?verify=no"),
        ("tgram", f"{URLS['tgram']}#?template=/any/file"),
        ("jsons", "jsons://example.org/#?verify=no&rto=50"),
        ("jsons", "jsons://example.org/#?%2Bx-evil=1"),
        ("jsons", "jsons://example.org/?priority=1;-x=1"),
        ("jsons", "jsons://example.org/?:x=1"),
    ],
)
def test_parameters_are_read_as_apprise_reads_them(kind: str, url: str) -> None:
    with pytest.raises(Invalid) as caught:
        check("apprise", {"url": url}, Outgoing(schemes=frozenset({kind})))
    assert caught.value.errors[0].code == "parameter-refused"


def test_parameters_that_are_allowed_may_follow_a_semicolon() -> None:
    url = f"{URLS['discord']}?format=text;priority=1"
    assert check("apprise", {"url": url}, DEFAULT).stored()["url"] == url


class Open(Outgoing):
    """Lets nothing out, and remembers what would have left."""

    def __init__(self) -> None:
        super().__init__(schemes=DEFAULT.schemes)
        self.left: list[bytes] = []

    @override
    def send(self, method: str, url: str, headers: Any, content: bytes = b"", **_: Any) -> Answer:
        self.left.append(content)
        return Answer(204, {}, b"")


@pytest.mark.parametrize("parameters", ["?priority=1;template=", "/#?template="])
def test_no_file_of_this_machine_leaves(parameters: str, tmp_path: Path) -> None:
    file, way = tmp_path / "private.json", Open()
    file.write_text('{"content": "s3cret of this machine"}')
    opened("apprise", way, url=URLS["discord"]).deliver(message())
    assert way.left
    with pytest.raises(UndeliveredError, match="of parameters there may be only"):
        opened("apprise", way, url=f"{URLS['discord']}{parameters}{file}").deliver(message())
    assert b"s3cret" not in b"".join(way.left)


def test_a_url_that_apprise_cannot_read_is_refused_without_repeating_it() -> None:
    with pytest.raises(Invalid) as caught:
        check("apprise", {"url": "discord://my-token"}, DEFAULT)
    assert "my-token" not in caught.value.detail


def test_what_asks_requests_outside_a_message_gets_no_way_out(posting: Json) -> None:
    opened("apprise", posting.outgoing, url=posting.url).deliver(message())
    requests = pytest.importorskip("requests")
    with pytest.raises(requests.ConnectionError):
        requests.get(posting.receiver.url, timeout=5)
    assert len(posting.receiver.received) == 1


def test_markup_in_names_is_harmless(posting: Json) -> None:
    hostile = message(run_name="@everyone <b>[x](http://evil.example)")
    opened("apprise", posting.outgoing, url=posting.url).deliver(hostile)
    text = json.dumps(posting.receiver.received[0].json, ensure_ascii=False)
    assert "@everyone" not in text
    assert "](http" not in text
