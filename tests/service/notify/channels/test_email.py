"""At a real mail server."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest

from gradwatch_service.errors import Invalid
from gradwatch_service.notify.addresses import Allowed
from gradwatch_service.notify.channels import check
from gradwatch_service.notify.outgoing import Outgoing
from tests.messages import RUN, message, resolved, with_curves
from tests.receivers import NAME, Certificate, Mailbox, mail_server
from tests.service.notify.channels.opening import LOOPBACK, failure, opened

TO = ["on-call@example.org", "team@example.org"]


def settings(mailbox: Mailbox, **more: Any) -> dict[str, Any]:
    plain = {"host": "127.0.0.1", "port": mailbox.port, "security": "none"}
    return {**plain, "sender": "gradwatch@example.org", "to": TO, **more}


def read(mailbox: Mailbox) -> list[EmailMessage]:
    found = [
        email.message_from_bytes(one.content, policy=email.policy.default)  # type: ignore[arg-type]
        for one in mailbox.taken
    ]
    return [one for one in found if isinstance(one, EmailMessage)]


def parts(mail: EmailMessage) -> dict[str, Any]:
    return {part.get_content_type(): part for part in mail.walk() if not part.is_multipart()}


def test_a_mail_is_text_and_a_page_with_the_picture_in_it() -> None:
    with mail_server() as mailbox:
        opened("email", **settings(mailbox)).deliver(with_curves(message()))
    (mail,) = read(mailbox)
    assert mailbox.taken[0].rcpt_tos == TO
    assert mail["Subject"] == "CRITICAL: gpt-small: The learning rate is too high (step 212)"
    found = parts(mail)
    assert found.keys() == {"text/plain", "text/html", "image/png"}
    assert "1. Multiply the learning rate by 0.5" in found["text/plain"].get_content()
    page, picture = found["text/html"].get_content(), found["image/png"]
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in page
    assert picture.get_content().startswith(b"\x89PNG")
    assert picture.get_content_disposition() == "inline"


def test_without_curves_there_is_no_picture() -> None:
    with mail_server() as mailbox:
        opened("email", **settings(mailbox)).deliver(message())
    found = parts(read(mailbox)[0])
    assert found.keys() == {"text/plain", "text/html"}
    assert "<img" not in found["text/html"].get_content()


def test_all_of_a_run_is_one_thread_and_a_mail_sent_again_has_its_old_id() -> None:
    with mail_server() as mailbox:
        for one in (message(), message(), resolved()):
            opened("email", **settings(mailbox)).deliver(one)
    first, again, end = read(mailbox)
    assert first["Message-ID"] == again["Message-ID"]
    assert {mail["References"] for mail in (first, again, end)} == {f"<{RUN}@gradwatch>"}


def test_names_cannot_add_headers() -> None:
    hostile = message(run_name="x\r\nBcc: victim@example.org\r\n\r\nbody")
    with mail_server() as mailbox:
        opened("email", **settings(mailbox)).deliver(hostile)
    (mail,) = read(mailbox)
    assert mail["Bcc"] is None
    assert mailbox.taken[0].rcpt_tos == TO


def test_names_of_any_script_arrive() -> None:
    with mail_server() as mailbox:
        opened("email", **settings(mailbox)).deliver(message(run_name="größer-模型-β"))
    assert read(mailbox)[0]["Subject"].startswith("CRITICAL: größer-模型-β: The learning rate")


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])
def test_it_logs_in_through_tls(certificate: Certificate, implicit: bool) -> None:
    outgoing = encrypted(certificate)
    with mail_server(certificate, implicit=implicit) as mailbox:
        given = settings(mailbox, host=NAME, security="tls" if implicit else "starttls")
        login = {"username": "somebody", "password": "right"}
        opened("email", outgoing, **given, **login).deliver(message())
    assert len(mailbox.taken) == 1


def encrypted(certificate: Certificate) -> Outgoing:
    allowed = Allowed.parse("127.0.0.1")
    return Outgoing(allowed, resolve=lambda *_: ["127.0.0.1"], tls=certificate.client)


def test_a_wrong_password_is_permanent_and_not_repeated(certificate: Certificate) -> None:
    login = {"username": "somebody", "password": "my-password"}
    with mail_server(certificate) as mailbox:
        given = settings(mailbox, host=NAME, security="starttls", **login)
        error = failure(opened("email", encrypted(certificate), **given), message())
    assert error.permanent
    assert error.detail == "the mail server refused the login with code 535"


def test_a_certificate_for_another_name_is_not_trusted(certificate: Certificate) -> None:
    with mail_server(certificate) as mailbox:
        given = settings(mailbox, host="other.test", security="starttls")
        error = failure(opened("email", encrypted(certificate), **given), message())
    assert error.detail.startswith("its certificate cannot be trusted")
    assert mailbox.taken == []


def test_a_server_without_tls_is_not_talked_to_in_the_clear() -> None:
    with mail_server() as mailbox:
        error = failure(opened("email", **settings(mailbox, security="starttls")), message())
    assert error.permanent
    assert mailbox.taken == []


@pytest.mark.parametrize(("code", "permanent"), [(451, False), (452, False), (552, True)])
def test_what_the_server_refuses_passes_or_does_not(code: int, permanent: bool) -> None:
    with mail_server() as mailbox:
        mailbox.refusal = f"{code} no"
        error = failure(opened("email", **settings(mailbox)), message())
    assert error.permanent is permanent
    assert str(code) in error.detail


def test_nobody_there_is_not_for_ever() -> None:
    with mail_server() as mailbox:
        channel = opened("email", **settings(mailbox))
    assert not failure(channel, message()).permanent


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["nobody"]},
        {"to": ["a@b.org\nBcc: c@d.org"]},
        {"to": ["a@b.org, c@d.org"]},
        {"to": [":_"]},
        {"to": ["?@ [,"]},
        {"to": ["=?utf-8?q?a?=@b.org"]},
        {"sender": "x"},
        {"port": 0},
        {"username": "somebody"},
        {"username": "somebody", "password": "pässword"},
        {"username": "somebody", "password": "a\nb"},
        {"security": "none", "host": "mail.example.org"},
        {"security": "never"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    right = {"host": "mail.example.org", "sender": "a@b.org", "to": ["c@d.org"]}
    check("email", right, Outgoing())
    with pytest.raises(Invalid):
        check("email", {**right, **wrong}, Outgoing())


def test_the_operator_allows_mail_without_tls() -> None:
    check(
        "email", {"host": "127.0.0.1", "security": "none", "sender": "a@b.org", "to": TO}, LOOPBACK
    )
