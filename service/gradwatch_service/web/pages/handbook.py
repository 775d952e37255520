"""The handbook for newcomers: every rule and every cause in plain words, without the network."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.causes import catalogue as causes
from gradwatch_service.errors import NotFound
from gradwatch_service.web.handbook import DECIDES, cause_page, prose, rule_page
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/handbook")
@allows(of=Owner.NOBODY)
def get_handbook(request: Request) -> Response:
    """Show what can be seen, and what can be behind it."""
    every_rule = [rule_page(rule.id) for rule in rules()]
    every_cause = [cause_page(cause.id) for cause in causes()]
    return page(request, "handbook.html", rules=every_rule, causes=every_cause)


@router.get("/handbook/{entry}")
@allows(of=Owner.NOBODY)
def get_entry(request: Request, entry: str) -> Response:
    """Show one rule or cause, or both where they have one name."""
    cause, rule = cause_page(entry), rule_page(entry)
    if cause is None and rule is None:
        raise NotFound(f"the handbook has no page {entry}")
    shown: dict[str, Any] = {"cause": cause, "rule": rule, "decides": DECIDES, "prose": prose}
    return page(request, "handbook_entry.html", entry=entry, **shown)
