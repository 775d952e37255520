"""The pages of the settings: channels, keys, rules and the audit log of one project."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from gradwatch_service.api.access.ownership import OwnProject
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Principal, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.store import audit, channels, keys, letters, projects, rules, run_names
from gradwatch_service.store.codec import Json
from gradwatch_service.web import acts, channel_fields
from gradwatch_service.web.channel_views import view_of
from gradwatch_service.web.rendering import page
from gradwatch_service.web.rule_scales import rules_of

router = APIRouter(prefix="/settings", include_in_schema=False)

SECTIONS = {"channels": "Channels", "keys": "Keys", "rules": "Rules", "audit": "Audit log"}
Section = Literal["channels", "keys", "rules", "audit"]
Cursor = Annotated[str | None, Query(max_length=200)]
LETTERS_SHOWN, ENTRIES_SHOWN = 20, 50
OPENED = "gradient-spike"  # so that people see what a rule has inside


@router.get("")
@allows(READ, of=Owner.LIST)
def get_settings(
    request: Request, backend: Served, who: Who, project: str = "", section: Section = "channels"
) -> Response:
    """Lead to a project: the one asked for, the key's own, or the one with the newest run."""
    with backend.reading() as connection:
        seen = projects.seen_by(connection, who.project)
    chosen = who.narrow(project) if project else who.project or _newest(seen)
    if chosen is None:
        return page(request, "settings.html", **_frame(seen, who, "", section))
    return RedirectResponse(f"/settings/{quote(chosen, safe='')}/{section}", 303)


@router.get("/{project}/channels")
@allows(READ, of=Owner.PATH)
def get_channels(
    project: OwnProject, request: Request, backend: Served, who: Who, cursor: Cursor = None
) -> Response:
    """Show to whom alerts go, how that went last, and what was given up."""
    with backend.reading() as connection:
        rows = channels.of_project(connection, project)
        newest = letters.newest_of(connection, [row.channel_id for row in rows])
        dead = letters.list_deliveries(connection, project, "dead", cursor, LETTERS_SHOWN)
        names = run_names.of_runs(connection, letters.runs_of(dead))
    return _section(
        request,
        backend,
        who,
        project,
        "channels",
        channels=[view_of(row, newest.get(row.channel_id)) for row in rows],
        forms=channel_fields.forms(),
        schemes=sorted(backend.outgoing.schemes),
        dead=dead,
        is_continued=cursor is not None,
        run_names={str(run_id): one.name for run_id, one in names.items()},
        channel_names={str(row.channel_id): row.name for row in rows},
    )


@router.get("/{project}/keys")
@allows(READ, of=Owner.PATH)
def get_keys(project: OwnProject, request: Request, backend: Served, who: Who) -> Response:
    """Show the keys of a project to those who may change them."""
    now = backend.clock()
    items: list[Json] = []
    if ADMIN in who.scopes:
        with backend.reading() as connection:
            items = [key.as_json(now) for key in keys.of_project(connection, project)]
    is_told = who.project is None  # nobody is known here: keys are for the command line
    return _section(request, backend, who, project, "keys", keys=items, command_line=is_told)


@router.get("/{project}/rules")
@allows(READ, of=Owner.PATH)
def get_rules(project: OwnProject, request: Request, backend: Served, who: Who) -> Response:
    """Show every rule with its thresholds, to be tried on stored runs and set."""
    with backend.reading() as connection:
        held = rules.of_project(connection, project)
    views = rules_of(project, held)
    return _section(request, backend, who, project, "rules", held=held, rules=views, opened=OPENED)


@router.get("/{project}/audit")
@allows(READ, of=Owner.PATH)
def get_audit(
    project: OwnProject, request: Request, backend: Served, who: Who, cursor: Cursor = None
) -> Response:
    """Show who did what, the newest first, to those who administer the project."""
    found = None
    if ADMIN in who.scopes:
        with backend.reading() as connection:
            found = audit.entries(connection, project, cursor, ENTRIES_SHOWN)
    is_continued = cursor is not None
    return _section(
        request, backend, who, project, "audit", found=found, acts=acts, is_continued=is_continued
    )


def _section(
    request: Request, backend: Backend, who: Principal, project: str, section: str, **context: Any
) -> Response:
    with backend.reading() as connection:
        seen = projects.seen_by(connection, who.project)
    frame = _frame(seen, who, project, section)
    return page(request, f"settings_{section}.html", **frame, **context)


def _frame(seen: tuple[Json, ...], who: Principal, project: str, section: str) -> dict[str, Any]:
    """What the head of every section needs; a project may have settings before its first run."""
    names = sorted({*(str(one["name"]) for one in seen), *filter(None, [project])})
    return {
        "project": project,
        "projects": names,
        "section": section,
        "sections": SECTIONS,
        "place": f"/settings/{quote(project, safe='')}",
        "may": ADMIN in who.scopes,
    }


def _newest(seen: tuple[Json, ...]) -> str | None:
    """The project in which something happened last."""
    if not seen:
        return None
    return str(max(seen, key=lambda one: str(one["newest_run_at"] or ""))["name"])
