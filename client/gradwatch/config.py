"""Reads every setting of the client, from arguments and ``GRADWATCH_`` variables, once."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import httpx

from gradwatch.errors import BadConfig

Mode = Literal["online", "offline", "disabled"]

DEFAULT_URL = "http://127.0.0.1:8321"


def _spool() -> Path:
    """The folder of what waits: ``GRADWATCH_SPOOL``, or where this system keeps such things."""
    given, state = os.getenv("GRADWATCH_SPOOL"), os.getenv("XDG_STATE_HOME")
    if given:
        return Path(given).absolute()
    try:
        return Path(state or Path.home() / ".local" / "state", "gradwatch", "spool")
    except RuntimeError:  # nobody's process: it has no folder of its own
        return Path(os.devnull, "spool")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one process; the numbers are defaults few people need to change.

    ``queue_*`` bound what waits in memory, ``frame_*`` one request. A record waits at most
    ``linger_seconds`` for company. After the n-th failure in a row the sender waits
    uniform(0, min(``backoff_cap_seconds``, ``backoff_base_seconds`` · 2^n)), and at most
    ``absent_cap_seconds`` where nobody listens, as that asks nothing of the service.

    What waits lies in ``spool``: a frame about every ``spool_seconds``, ``spool_bytes`` a run. When
    the service is back and more than ``live_first_bytes`` wait, new reports go first.
    """

    url: str = DEFAULT_URL
    api_key: str | None = None
    mode: Mode = "online"
    rank: int = 0
    autopilot: int = 1
    queue_records: int = 1_000
    queue_bytes: int = 16 << 20
    frame_records: int = 1_000
    frame_bytes: int = 2 << 20
    eager_records: int = 100
    linger_seconds: float = 0.2
    backoff_base_seconds: float = 0.5
    backoff_cap_seconds: float = 60.0
    absent_cap_seconds: float = 4.0
    auth_pause_seconds: float = 300.0
    request_timeout_seconds: float = 10.0
    exit_seconds: float = 2.0
    spool: Path = field(default_factory=_spool)
    spool_seconds: float = 1.0
    spool_bytes: int = 512 << 20
    live_first_bytes: int = 4 << 20


def load(url: str | None = None, api_key: str | None = None, mode: str | None = None) -> Config:
    """The settings of this process: arguments first, then the environment, then defaults.

    Raises:
        BadConfig: mode or level are unknown, or the address is unusable or unsafe.
    """
    chosen = _setting(mode, "MODE", "online")
    if chosen not in ("online", "offline", "disabled"):
        raise BadConfig(f"GRADWATCH_MODE is {chosen!r}; use online, offline or disabled")
    key = str(_setting(api_key, "API_KEY", ""))
    if not (key.isascii() and key.isprintable()):
        raise BadConfig("GRADWATCH_API_KEY holds characters no key has; copy it again")
    level = _setting(None, "AUTOPILOT", "1")
    if level not in ("0", "1", "2", "3"):
        raise BadConfig(f"GRADWATCH_AUTOPILOT is {level!r}; use 0, 1, 2 or 3")
    rank = os.getenv("RANK", "0")
    return Config(
        url=_checked_url(_setting(url, "URL", DEFAULT_URL)),
        api_key=key or None,
        mode=cast("Mode", chosen),
        rank=int(rank) if rank.isdecimal() else 0,
        autopilot=int(level),
    )


def _setting(argument: str | None, name: str, default: str) -> str:
    return argument or os.getenv(f"GRADWATCH_{name}") or default


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadConfig(f"GRADWATCH_URL is not an address such as {DEFAULT_URL}")
    secure = parsed.scheme == "https" or is_loopback(parsed.host)
    if not secure and os.getenv("GRADWATCH_ALLOW_HTTP") != "1":
        raise BadConfig(
            f"GRADWATCH_URL would send data unencrypted to {parsed.host}; "
            "use https, or set GRADWATCH_ALLOW_HTTP=1 on a network you trust"
        )
    return str(parsed).rstrip("/")
