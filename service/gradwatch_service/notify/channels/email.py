"""Mail through a server of the team's: text, the same as a page, and the picture within it."""

from __future__ import annotations

import logging
import re
import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import override

from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.escape import plain
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.options import Options, SecretLine, Word, outgoing_of
from gradwatch_service.notify.outgoing import MAIL_PORTS, Outgoing, Target
from gradwatch_service.notify.page import page_of
from gradwatch_service.notify.picture import picture_of
from gradwatch_service.notify.words import words_of

RECIPIENTS_MAX = 20
NAME = "gradwatch"
# What people have, not all that RFC 5322 allows, whose parser trips over what is no address.
_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=^_`{|}~-]+", "[A-Za-z0-9-]+"
MAILBOX = rf"^{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*$"

log = logging.getLogger(__name__)


def _mailbox(text: str) -> str:
    """An address such as somebody@example.org, of which no part can be read as another header."""
    if not re.fullmatch(MAILBOX, text):
        raise PydanticCustomError("bad-address", "it must be one mail address")
    return text


Mailbox = Annotated[Word, AfterValidator(_mailbox), Field(json_schema_extra={"pattern": MAILBOX})]


class Settings(Options):
    """``security``: ``starttls`` (usual on 587), ``tls`` (465); none if the operator allows it."""

    host: Word
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Word | None = None
    password: SecretLine | None = None
    sender: Mailbox
    to: Annotated[list[Mailbox], Field(min_length=1, max_length=RECIPIENTS_MAX)]

    @model_validator(mode="after")
    def _is_reachable(self, info: ValidationInfo) -> Self:
        is_usual = self.security != "none" and self.port in MAIL_PORTS
        unfit = outgoing_of(info).why_not_target(Target(self.host.lower(), self.port, is_usual))
        if unfit:
            raise PydanticCustomError("address-refused", "host: {why}", {"why": unfit})
        if (self.username is None) != (self.password is None):
            raise PydanticCustomError("half-a-login", "username and password go together")
        return self


class Way:
    """Hands the mail server one message for all recipients."""

    def __init__(self, settings: Settings, outgoing: Outgoing) -> None:
        self._settings = settings
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Send one mail; who reads mail by thread finds all of a run in one."""
        mail = mail_of(message, self._settings.sender, self._settings.to)
        settings = self._settings
        encrypted = settings.security != "none"
        way = self._outgoing.connection(settings.host, settings.port, encrypted=encrypted)
        with way as connection, _refusals(), self._server(connection) as server:
            refused = server.send_message(mail)
        if refused:
            log.warning("a mail server refused %d of %d mailboxes", len(refused), len(settings.to))

    @contextmanager
    def _server(self, connection: socket.socket) -> Iterator[smtplib.SMTP]:
        settings, tls = self._settings, self._outgoing.tls
        if settings.security == "tls":
            connection = tls.wrap_socket(connection, server_hostname=settings.host)
        with _Server(connection, settings.host) as server:
            if settings.security == "starttls":
                server.starttls(context=tls)
            if settings.username is not None and settings.password is not None:
                server.login(settings.username, settings.password.get_secret_value())
            yield server


class _Server(smtplib.SMTP):
    """A mail server at the other end of a connection that we made ourselves."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self._connection = connection
        super().__init__(host, 25, local_hostname=NAME)  # the port goes unused

    @override
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # type: ignore[misc]
        return self._connection


@contextmanager
def _refusals() -> Iterator[None]:
    """What mail servers say, as far as it matters: 5xx is for good, 4xx passes."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _refused("the recipients", max(codes, default=550)) from error
    except smtplib.SMTPResponseException as error:
        is_login = isinstance(error, smtplib.SMTPAuthenticationError)
        raise _refused("the login" if is_login else "the message", error.smtp_code) from error
    except smtplib.SMTPNotSupportedError as error:
        raise UndeliveredError(
            "the mail server offers no TLS or no login as the settings ask for", permanent=True
        ) from error
    except smtplib.SMTPException as error:
        raise UndeliveredError("the mail server broke off the talk", permanent=False) from error


def _refused(what: str, code: int) -> UndeliveredError:
    said = f"the mail server refused {what} with code {code}"
    return UndeliveredError(said, permanent=500 <= code < 600)


def mail_of(message: Message, sender: str, to: list[str]) -> EmailMessage:
    """The mail: an id that stays the same when it is sent again, and the thread of its run."""
    words, picture = words_of(message), picture_of(message)
    mail = EmailMessage()
    mail["Subject"] = words.title
    mail["From"] = Address("Gradwatch", addr_spec=sender)
    mail["To"] = [Address(addr_spec=one) for one in to]
    mail["Date"] = message.at
    mail["Message-ID"] = f"<{message.delivery_id}@{NAME}>"
    if message.run_id is not None:
        mail["References"] = f"<{message.run_id}@{NAME}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(words.text(plain))
    picture_id = f"picture.{message.delivery_id}@{NAME}" if picture else ""
    page = EmailMessage()
    page.set_content(page_of(words, picture_id), subtype="html")
    if picture:
        cid = f"<{picture_id}>"
        page.add_related(picture, "image", "png", cid=cid, filename="run.png", disposition="inline")
    mail.make_alternative()
    mail.attach(page)
    return mail
