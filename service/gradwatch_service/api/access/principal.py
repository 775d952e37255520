"""Who asks: a project, what may be done in it, and the name under which acts are noted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from gradwatch_service.errors import Forbidden, NotFound
from gradwatch_service.store.keys import Key

Scope = Literal["ingest", "read", "admin"]

INGEST: Scope = "ingest"
READ: Scope = "read"
ADMIN: Scope = "admin"
ALL_SCOPES: frozenset[str] = frozenset({INGEST, READ, ADMIN})
IN_SCOPE = "gradwatch.principal"  # where a request carries it


@dataclass(frozen=True, slots=True)
class Principal:
    """``project`` None: local mode, which sees all; ``session``: the digest of its token."""

    project: str | None
    scopes: frozenset[str]
    actor: str
    session: bytes | None = None

    def require(self, project: str | None) -> None:
        """Go on only if what belongs to this project may be seen.

        Raises:
            NotFound: it is foreign or missing, and nobody shall know which.
        """
        if self.project is not None and project != self.project:
            raise NotFound("nothing of this name is here for this key")

    def narrow(self, project: str | None) -> str | None:
        """The project to list, when this one was asked for (None: all that are seen).

        Raises:
            NotFound: another one's.
        """
        if project is not None:
            self.require(project)
            return project
        return self.project

    def signed(self, by: str) -> str:
        """The name under an act: in local mode, where nobody is known, what they say."""
        return by if self.project is None else self.actor

    def claim(self, project: str) -> None:
        """Go on only if something new may belong to this project.

        Raises:
            Forbidden: the key is another project's.
        """
        if self.project is not None and project != self.project:
            raise Forbidden(
                "this key is for another project: send the name of its own", code="foreign-project"
            )


LOCAL = Principal(project=None, scopes=ALL_SCOPES, actor="local")


def principal_of(key: Key, session: bytes | None = None) -> Principal:
    """Whom a key stands for."""
    scopes = ALL_SCOPES if ADMIN in key.scopes else frozenset(key.scopes)
    return Principal(key.project, scopes, f"{key.name} ({key.key_id})", session)


async def principal_in(request: Request) -> Principal:  # async: not worth a thread
    """Who asks, as the door found out."""
    found: Principal = request.scope[IN_SCOPE]
    return found


Who = Annotated[Principal, Depends(principal_in)]
