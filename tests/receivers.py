"""Real receivers for what channels send: HTTP with and without TLS, mail, Alertmanager."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from typing_extensions import override

from tests.servers import free_port, poll

NAME = "receiver.test"
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What an HTTP server got, and what it answers next; 200 where nothing is said."""

    port: int = 0
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    answer_slowly: Callable[[socket.socket], None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def will_answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answers.append((status, headers, body))


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            receiver.received.append(Received(self.command, self.path, headers, body))
            if receiver.answer_slowly is not None:
                receiver.answer_slowly(self.connection)
                return
            status, more, answer = receiver.answers.pop(0) if receiver.answers else (200, {}, b"ok")
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server calls them so

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Tests say what matters."""

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break off are what some tests are about."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """An HTTP server on loopback."""
    receiver = Receiver()
    server = _Quiet((host, 0), _handler(receiver))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Certificate:
    """A certificate for ``receiver.test`` that signs itself."""

    folder: Path

    @cached_property
    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        return context

    @property
    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "cert.pem"))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Made anew in every session."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    options = [
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *options, *files], check=True, capture_output=True)
    return Certificate(folder)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server of this test alone."""
    with receiving() as running:
        yield running


@dataclass
class Mailbox:
    """What a mail server took; ``refusal`` is what it says to a message instead."""

    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    refusal: str = ""

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, _: SMTP, __: Session, envelope: Envelope
    ) -> str:
        if self.refusal:
            return self.refusal
        self.taken.append(envelope)
        return "250 OK"


def _login(_: SMTP, __: Session, ___: Envelope, ____: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"somebody", b"right"), handled=False)


@contextmanager
def mail_server(
    certificate: Certificate | None = None, *, implicit: bool = False
) -> Iterator[Mailbox]:
    """A mail server on loopback: plain, with STARTTLS, or with TLS from the first byte on."""
    mailbox = Mailbox()
    tls = None if certificate is None else certificate.server
    options: dict[str, Any] = {}
    if tls is not None and not implicit:
        options = {"tls_context": tls, "require_starttls": True}
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=tls if implicit else None,
        authenticator=_login,
        auth_require_tls=bool(options),
        **options,
    )
    controller.start()
    mailbox.port = controller.port
    try:
        yield mailbox
    finally:
        controller.stop()


@dataclass(frozen=True)
class Alertmanager:
    """A real one; ``told`` is what it notified of: status and labels."""

    url: str
    receiver: Receiver

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/alerts", trust_env=False).json()
        return found

    def told(self) -> list[tuple[str, dict[str, str]]]:
        return [
            (alert["status"], alert["labels"])
            for request in self.receiver.received
            for alert in request.json["alerts"]
        ]


CONFIG = """
route: {{receiver: hook, group_by: [alert_id], group_wait: 0s, group_interval: 1s}}
receivers:
- name: hook
  webhook_configs: [{{url: "{url}/hook", send_resolved: true}}]
"""


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """A real Alertmanager that tells a real receiver."""
    if ALERTMANAGER is None:
        pytest.skip("prometheus-alertmanager is not installed (apt-get install)")
    with receiving() as receiver:
        config = tmp_path / "alertmanager.yml"
        config.write_text(CONFIG.format(url=receiver.url))
        url = f"127.0.0.1:{free_port()}"
        with (tmp_path / "alertmanager.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    ALERTMANAGER,
                    f"--config.file={config}",
                    f"--storage.path={tmp_path / 'alertmanager'}",
                    f"--web.listen-address={url}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        running = Alertmanager(f"http://{url}", receiver)
        try:
            poll(lambda: _is_ready(running.url), "Alertmanager is ready")
            yield running
        finally:
            process.terminate()
            process.wait(20)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
