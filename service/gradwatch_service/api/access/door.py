"""Decides on every request before its body is read: who asks, for what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Scope

from gradwatch_service.api.access.browser import SAFE_METHODS, check_host, check_site
from gradwatch_service.api.access.cookie import token_in
from gradwatch_service.api.access.credentials import Credentials, Known
from gradwatch_service.api.access.policy import Policies
from gradwatch_service.api.access.principal import IN_SCOPE, LOCAL
from gradwatch_service.api.access.quota import Meter, Rates
from gradwatch_service.api.backend import Backend
from gradwatch_service.api.pace import Pace
from gradwatch_service.errors import MethodNotAllowed, NotFound, Unauthorized, Unavailable
from gradwatch_service.settings import Settings

BEARER = b"bearer "
MOST_METERS = 10_000
SIGN_INS, SIGN_IN_SECONDS = 5, 60.0
NO_ROUTE = "nothing has this address; GET /docs lists every route"

_LOCAL = Known(LOCAL, "", 0.0)


class Door:
    """One per process; what it lets in carries its ``Principal`` in the ASGI scope."""

    def __init__(self, settings: Settings, policies: Policies) -> None:
        self.credentials = Credentials()
        self._policies = policies
        self._needs_key = settings.needs_key
        self._cookie = settings.cookie_name.encode()
        self._hosts = settings.hosts
        self._rates = Rates(
            settings.requests_per_second,
            settings.bytes_per_second,
            settings.requests_burst / settings.requests_per_second,
        )
        self._meters: dict[str, Meter] = {}
        self._strangers = Pace(SIGN_INS, SIGN_IN_SECONDS)

    async def admit(self, scope: Scope) -> Meter | None:
        """Let a request in, and tell where bytes are to be counted that it did not announce.

        Raises:
            Unauthorized: nobody knows who asks.
            Forbidden: not with this key, or not from another site's page.
            MethodNotAllowed: the address has other methods, whoever asks.
            NotFound: there is no such route.
            TooManyRequests: later.
            Unavailable: whether the key is good cannot be found out now.
        """
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        policy = self._policies.find(scope["method"], scope["path"])
        is_unsafe = scope["method"] not in SAFE_METHODS
        if policy is not None and policy.is_public:
            if is_unsafe:
                check_host(headers, self._hosts)
                check_site(headers, must_say=False)
                address = scope["client"][0] if scope.get("client") else ""
                self._strangers.take(address)
            return None
        if policy is None and (allowed := self._policies.methods(scope["path"])):
            raise MethodNotAllowed(allowed)
        check_host(headers, self._hosts)
        known, is_key = await self._recognise(headers, scope["app"].state.backend)
        meter = self._metered(known, headers) if self._needs_key else None
        if policy is None:
            raise NotFound(NO_ROUTE)
        policy.check(known.principal)
        scope[IN_SCOPE] = known.principal
        if is_unsafe and not is_key:
            check_site(headers, must_say=known is not _LOCAL)
        return meter

    async def still_admits(self, scope: Scope) -> bool:
        """Whether who was let in with this request is still the one who was."""
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        try:
            known, _ = await self._recognise(headers, scope["app"].state.backend)
        except Unauthorized:
            return False
        except Unavailable:  # whether the key is good cannot be found out now
            return True
        return bool(known.principal == scope[IN_SCOPE])

    async def _recognise(
        self, headers: Mapping[bytes, bytes], backend: Backend
    ) -> tuple[Known, bool]:
        """Who asks, and whether it is a key that says so."""
        given = headers.get(b"authorization", b"")
        if given[: len(BEARER)].lower() == BEARER:
            return await self.credentials.of_key(given[len(BEARER) :].strip(), backend), True
        token = token_in(headers, self._cookie)
        if token is not None:
            try:
                return await self.credentials.of_session(token, backend), False
            except Unauthorized:
                if self._needs_key:
                    raise
        if self._needs_key:
            raise Unauthorized("send a key: Authorization: Bearer gw_…", code="no-key")
        return _LOCAL, False

    def _metered(self, known: Known, headers: Mapping[bytes, bytes]) -> Meter:
        now = asyncio.get_running_loop().time()
        meter = self._meters.get(known.key_id)
        if meter is None:
            meter = self._meters[known.key_id] = Meter(self._rates, now)
            while len(self._meters) > MOST_METERS:
                del self._meters[next(iter(self._meters))]
        length = headers.get(b"content-length", b"0")
        meter.admit(int(length) if length.isdigit() else 0, now)
        return meter
