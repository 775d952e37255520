"""What each route asks of those who use it; a route that does not say so is never served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from re import Pattern
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from gradwatch_service.api.access import ownership
from gradwatch_service.api.access.principal import Principal, Scope, principal_in
from gradwatch_service.errors import Forbidden

T = TypeVar("T")

DECLARED = "access_policy"


class Owner(Enum):
    """How the project is found of what a route shows or changes, and where that is checked."""

    NOBODY = "nobody"  # it belongs to no project
    RUN = "run"  # by the run in the path: ``OwnRun``
    ALERT = "alert"  # by the alert in the path: ``OwnAlert``
    SILENCE = "silence"  # by the silence in the path: ``OwnSilence``
    PATH = "path"  # its name is in the path: ``OwnProject``
    LIST = "list"  # many things: the route narrows its query to the project of ``Who``
    BODY = "body"  # its name is in the body: the route asks ``Who``
    WRITER = "writer"  # by the run in the path: the writer, in the transaction of the push


class PolicyError(Exception):
    """A route does not say who may use it, or does not check what it says."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Any of the ``scopes`` will do; without one, whoever is known; None: anybody at all."""

    scopes: frozenset[str] | None
    owner: Owner

    @property
    def is_public(self) -> bool:
        """Whether nobody is asked who they are."""
        return self.scopes is None

    def check(self, principal: Principal) -> None:
        """Go on only with one of the scopes.

        Raises:
            Forbidden: this needs another key.
        """
        if self.scopes and self.scopes.isdisjoint(principal.scopes):
            wanted = " or ".join(sorted(self.scopes))
            raise Forbidden(f"this needs a key with the scope {wanted}", code="wrong-scope")


PUBLIC = Policy(None, Owner.NOBODY)


def allows(*scopes: Scope, of: Owner) -> Callable[[T], T]:
    """Declare who may use a route: who has any of the scopes; without one, all with a key."""
    return _declares(Policy(frozenset(scopes), of))


def public(endpoint: T) -> T:
    """Declare that anybody may use a route."""
    return _declares(PUBLIC)(endpoint)


def _declares(policy: Policy) -> Callable[[T], T]:
    def declare(endpoint: T) -> T:
        setattr(endpoint, DECLARED, policy)
        return endpoint

    return declare


@dataclass(frozen=True, slots=True)
class Entry:
    """One method of one address."""

    method: str
    path: str
    regex: Pattern[str]
    policy: Policy


class Policies:
    """The policy of every route, found as the router finds the route: the first that fits."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._by_method: dict[str, list[tuple[Callable[[str], object], Policy]]] = {}
        for entry in entries:
            found = self._by_method.setdefault(entry.method, [])
            found.append((entry.regex.match, entry.policy))

    def find(self, method: str, path: str) -> Policy | None:
        """What is asked for this; None if there is no such route."""
        for match, policy in self._by_method.get(method, ()):
            if match(path):
                return policy
        return None

    def methods(self, path: str) -> frozenset[str]:
        """What can be asked of this address; none if there is no such address."""
        return frozenset(entry.method for entry in self.entries if entry.regex.match(path))


def policies_of(routes: Sequence[BaseRoute]) -> Policies:
    """Gather what the routes declare.

    Raises:
        PolicyError: one declares nothing, or lacks the check that belongs to what it declares.
    """
    return Policies([entry for found in iter_route_contexts(routes) for entry in _entries(found)])


def _entries(found: RouteContext) -> Iterator[Entry]:
    policy = getattr(found.endpoint, DECLARED, None)
    methods = "|".join(sorted(found.methods or ()))
    if not isinstance(policy, Policy) or not methods or found.path is None:
        raise PolicyError(
            f"{methods} {found.path} does not say who may use it: put @allows(…) or @public on it"
        )
    dependant = getattr(found, "dependant", None)
    needed = CHECKS[policy.owner]
    if dependant is not None and needed is not None and needed not in set(_calls(dependant)):
        raise PolicyError(
            f"{methods} {found.path} belongs to somebody by {policy.owner.value}, "
            f"but does not depend on {needed.__name__}"
        )
    for method in sorted(found.methods or ()):
        yield Entry(method, found.path_format or found.path, found.path_regex, policy)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    for one in dependant.dependencies:
        yield one.call
        yield from _calls(one)


CHECKS: dict[Owner, Callable[..., Any] | None] = {
    Owner.NOBODY: None,
    Owner.RUN: ownership.own_run,
    Owner.ALERT: ownership.own_alert,
    Owner.SILENCE: ownership.own_silence,
    Owner.PATH: ownership.own_project,
    Owner.LIST: principal_in,
    Owner.BODY: principal_in,
    Owner.WRITER: principal_in,
}
