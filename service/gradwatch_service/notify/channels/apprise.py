"""Any service that Apprise knows, where the operator allows its kind of URL.

Apprise has no seam for the network: it asks ``requests``. While this module is loaded, ``requests``
sends everything through the guarded way out, and nothing where none is open.
"""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from gradwatch_service.domain import Severity
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.escape import plain
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.options import Options, Secret, outgoing_of
from gradwatch_service.notify.outgoing import Answer, Outgoing
from gradwatch_service.notify.picture import picture_of
from gradwatch_service.notify.verdict import require_taken
from gradwatch_service.notify.words import words_of

# Of the parameters after ``?``: others may name files of this machine or switch off checks.
PARAMETERS = frozenset(
    {"format", "overflow", "priority", "silent", "sound", "thread", "topic", "ttl"}
)


def _usable(value: SecretStr, info: ValidationInfo) -> SecretStr:
    url, allowed = value.get_secret_value(), outgoing_of(info).schemes
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in allowed:
        kinds = ", ".join(sorted(allowed)) or "none"
        why = f"the operator allows these kinds of Apprise URL: {kinds}"
        raise PydanticCustomError("scheme-refused", "{why}", {"why": why})
    if not _parameters(url) <= PARAMETERS:
        why = f"of parameters there may be only: {', '.join(sorted(PARAMETERS))}"
        raise PydanticCustomError("parameter-refused", "{why}", {"why": why})
    if _plugin(url) is None:
        raise PydanticCustomError("bad-url", "Apprise cannot read it: a part is missing or wrong")
    return value


def _parameters(url: str) -> set[str]:
    """As Apprise reads them, which splits at ``;`` too and reads on after ``#``."""
    _library()
    parse = importlib.import_module("apprise.utils.parse").parse_url
    plugins = importlib.import_module("apprise.plugins")
    texts = (url, url.replace("/#", "/%23"))
    read = [*(parse(text, verify_host=False) for text in texts), plugins.url_to_dict(url)]
    return {
        f"{key[3:]}{name}"
        for one in read
        for key, named in (one or {}).items()
        if key.startswith("qsd")
        for name in named
    }


class Settings(Options):
    """``url``: as Apprise's documentation of the service shows it."""

    url: Annotated[Secret, AfterValidator(_usable)]


class Way:
    """Tells one service of Apprise's."""

    def __init__(self, settings: Settings, outgoing: Outgoing) -> None:
        self._url = settings.url.get_secret_value()
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Send one message, with the picture where the service takes files."""
        apprise, plugin = _library(), _plugin(self._url)
        if plugin is None:
            raise UndeliveredError("Apprise cannot read its URL", permanent=True)
        words, picture = words_of(message), picture_of(message)
        attached = apprise.AppriseAttachment()
        if picture and plugin.attachment_support:
            attached.add(_memory()(content=picture, name="run.png", mimetype="image/png"))
        title = plain(words.title)
        with _through(self._outgoing) as way:
            taken = plugin.notify(
                body=words.text(plain).removeprefix(title).strip(),
                title=title,
                notify_type=_type_of(message),
                body_format=apprise.NotifyFormat.TEXT,
                attach=attached if len(attached) else None,
            )
        if not taken:
            raise way.failure


class _Way:
    """What one message met on its way."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self.failure = UndeliveredError("Apprise did not deliver it", permanent=False)

    def send(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        """One of the requests that a message takes; why one fails is remembered."""
        try:
            answer = self._outgoing.send(method, url, headers, content)
        except UndeliveredError as error:
            self.failure = error
            raise
        try:
            require_taken(answer)
        except UndeliveredError as error:  # Apprise reads the answer too, and gives up or goes on
            self.failure = error
        return answer


_open: ContextVar[_Way | None] = ContextVar("_open", default=None)


@contextmanager
def _through(outgoing: Outgoing) -> Iterator[_Way]:
    way = _Way(outgoing)
    token = _open.set(way)
    try:
        yield way
    finally:
        _open.reset(token)


def _type_of(message: Message) -> Any:
    kinds = _library().NotifyType
    if message.kind == "test":
        return kinds.INFO
    if not any(subject.is_firing for subject in message.subjects):
        return kinds.SUCCESS
    return kinds.FAILURE if message.severity >= Severity.ERROR else kinds.WARNING


def _plugin(url: str) -> Any:
    """Apprise's object for a URL, None if it cannot read it; nothing of it stays on the disk."""
    apprise = _library()
    asset = apprise.AppriseAsset(
        app_id="Gradwatch",
        app_desc="Gradwatch",
        allow_templates=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
    )
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _memory() -> Any:
    return importlib.import_module("apprise.attachment.memory").AttachMemory


@cache
def _library() -> Any:
    """Apprise, loaded when the first of its channels is opened, and led through the guard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it looks for a module of Python 3.12
        apprise = importlib.import_module("apprise")
        apprise.manager_plugins.NotificationManager().load_modules()
    sessions: Any = importlib.import_module("requests.sessions")
    sessions.HTTPAdapter = _guarded(importlib.import_module("requests"))
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses; we say what failed
    return apprise


def _guarded(requests: Any) -> type[Any]:
    """An adapter for ``requests`` that asks our way out."""

    class Guarded(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, request: Any, **_: Any) -> Any:
            way = _open.get()
            if way is None:
                raise requests.ConnectionError("no way out is open")
            body = request.body or b""
            content = body.encode() if isinstance(body, str) else bytes(body)
            try:
                answer = way.send(request.method, request.url, _sent(request.headers), content)
            except UndeliveredError as error:
                raise requests.ConnectionError(error.detail) from error
            return _as_response(requests, request, answer)

    return Guarded


def _sent(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """Without those that we set ourselves."""
    ours = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in headers.items()
        if name.lower() not in ours
    }


def _as_response(requests: Any, request: Any, answer: Answer) -> Any:
    response = requests.Response()
    response.status_code = answer.status
    response.headers.update(answer.headers)
    response.raw = io.BytesIO(answer.body)
    response.url, response.request = request.url, request
    return response
