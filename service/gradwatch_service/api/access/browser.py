"""What only browsers need: they send requests that other people's pages thought of."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from gradwatch_service.errors import Forbidden

Headers = Mapping[bytes, bytes]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({b"same-origin", b"none"})


@lru_cache(maxsize=256)
def host_of(header: bytes) -> str:
    """The name in a ``Host`` header, without the port."""
    host = header.decode("latin-1").strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a name leads to this machine whoever resolves it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(headers: Headers, allowed: frozenset[str] | None) -> None:
    """Refuse names that are not ours: a page elsewhere may have pointed one of its own here.

    ``allowed``: besides those of loopback; None: any.

    Raises:
        Forbidden: the name is not among them.
    """
    if allowed is None:
        return
    host = host_of(headers.get(b"host", b""))
    if host not in allowed and not is_loopback(host):
        raise Forbidden(
            "the service is not known by this Host: list its names in GRADWATCH_ALLOWED_HOSTS",
            code="host-not-allowed",
        )


def check_site(headers: Headers, *, must_say: bool) -> None:
    """Refuse what another site's page asks for; ``must_say``: also what does not say where from.

    Raises:
        Forbidden: it is, or may be, another site's.
    """
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        is_own = site in OWN_SITES
    elif origin is not None:
        is_own = origin.partition(b"://")[2] == headers.get(b"host", b"")
    else:
        is_own = not must_say
    if not is_own:
        raise Forbidden("another site's page may not ask for this", code="cross-site")
