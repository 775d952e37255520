"""Projects, and what was done to them by those who administer them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnProject
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.key_shapes import AuditEntry, Project
from gradwatch_service.api.operations import answers
from gradwatch_service.api.queries import PlainList, page
from gradwatch_service.api.shapes import Items
from gradwatch_service.store import audit, projects

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("", responses=answers({200: Items[Project]}))
@allows(READ, of=Owner.LIST)
def get_projects(backend: Served, who: Who) -> Response:
    """List the projects that the key is for; in local mode all."""
    with backend.reading() as connection:
        items = projects.seen_by(connection, who.project)
    return answer({"items": items, "next_cursor": None})


@router.get("/{project}/audit", responses=answers({200: Items[AuditEntry]}, 404, 422))
@allows(ADMIN, of=Owner.PATH)
def get_audit(project: OwnProject, backend: Served, wanted: PlainList) -> Response:
    """List administrative acts, the newest first: who did what to what."""
    with backend.reading() as connection:
        return page(audit.entries(connection, project, wanted.cursor, wanted.limit))
