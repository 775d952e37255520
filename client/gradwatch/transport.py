"""The one network seam of the client: requests go out here, for the sender and the command line."""

from __future__ import annotations

import email.utils
import gzip
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import httpx

from gradwatch import clock, process
from gradwatch.config import Config, is_loopback
from gradwatch.errors import Refused, Unreachable

API = "/api/v1"
COMPRESSED_FROM_BYTES = 1 << 16
MAX_RETRY_AFTER_SECONDS = 3600.0  # a server cannot silence a job for longer than this


def client_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("gradwatch")
    except PackageNotFoundError:
        return "0"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: ``body`` is the JSON object, or empty if there was none."""

    status: int
    body: Mapping[str, object] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    server_time: float | None = None

    @property
    def code(self) -> str:
        """The stable code of a problem, such as ``unknown-layers``."""
        return str(self.body.get("code") or "")

    @property
    def detail(self) -> str:
        """What the server says is wrong, for a log line."""
        return str(self.body.get("detail") or self.body.get("title") or "")[:300]

    def expect_success(self) -> Mapping[str, object]:
        """The body of a 2xx answer.

        Raises:
            Refused: for any other status.
        """
        if 200 <= self.status < 300:
            return self.body
        raise Refused(self.status, self.code, self.detail)


class Transport:
    """Sends one request at a time, follows no redirect; ``http`` replaces the network in tests."""

    def __init__(self, config: Config, http: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._http = http
        self._opened: httpx.Client | None = None

    @property
    def _client(self) -> httpx.Client:
        """Made with the first request: loading certificates takes longer than a fork should."""
        if self._opened is None:
            with process.gate.loading():
                self._opened = self._open()
        return self._opened

    def _open(self) -> httpx.Client:
        importlib.import_module("encodings.idna")  # for the first name that is looked up
        headers = {"accept": "application/json", "user-agent": f"gradwatch/{client_version()}"}
        if self._config.api_key:
            headers["authorization"] = f"Bearer {self._config.api_key}"
        return httpx.Client(
            base_url=self._config.url,
            headers=headers,
            timeout=self._config.request_timeout_seconds,
            follow_redirects=False,
            trust_env=not is_loopback(
                httpx.URL(self._config.url).host
            ),  # a proxy cannot reach our loopback
            transport=self._http,
        )

    def get(self, path: str, **params: str | int | None) -> Answer:
        """GET a path with those query parameters that are not None."""
        given = {name: value for name, value in params.items() if value is not None}
        return self._send(self._client.build_request("GET", path, params=given))

    def post(self, path: str, body: Mapping[str, object]) -> Answer:
        """POST a JSON object; a long one, such as the table of many layers, is compressed."""
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = {"content-type": "application/json"}
        if len(content) > COMPRESSED_FROM_BYTES:
            content, headers = gzip.compress(content, 1), headers | {"content-encoding": "gzip"}
        return self._send(
            self._client.build_request("POST", path, content=content, headers=headers)
        )

    def delete(self, path: str) -> Answer:
        """DELETE a path."""
        return self._send(self._client.build_request("DELETE", path))

    def put_frame(self, path: str, body: bytes) -> Answer:
        """PUT an encoded frame."""
        headers = {"content-type": "application/msgpack"}
        return self._send(self._client.build_request("PUT", path, content=body, headers=headers))

    def close(self) -> None:
        """Close the connections; the next request would open new ones."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _send(self, request: httpx.Request) -> Answer:
        try:
            response = self._client.send(request)
        except httpx.HTTPError as error:
            absent = isinstance(error, httpx.ConnectError)
            raise Unreachable(str(error) or type(error).__name__, nobody_listens=absent) from error
        return Answer(
            status=response.status_code,
            body=_json_object(response),
            retry_after_seconds=_retry_after(response.headers.get("retry-after")),
            server_time=_http_date(response.headers.get("date")),
        )


def items_of(answer: Answer) -> list[Mapping[str, object]]:
    """The objects of a page.

    Raises:
        Refused: there is no page.
    """
    items = answer.expect_success().get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _json_object(response: httpx.Response) -> Mapping[str, object]:
    try:
        body = response.json()
    except (ValueError, RecursionError):  # no JSON, or nested without end
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    if value.isdecimal():
        seconds = float(value)
    elif (at := _http_date(value)) is not None:
        seconds = at - clock.now()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _http_date(value: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value or "").timestamp()
    except ValueError:
        return None
