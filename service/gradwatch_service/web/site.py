"""All pages and what they load, added to an application."""

from __future__ import annotations

from fastapi import FastAPI

from gradwatch_service.web import assets, refusals
from gradwatch_service.web.pages import (
    alert,
    alerts,
    board,
    handbook,
    run,
    settings,
    signin,
    silences,
)
from gradwatch_service.web.refusals import refusal

__all__ = ["install", "refusal"]

ROUTERS = (board, run, alerts, silences, alert, handbook, settings, signin, assets)


def install(app: FastAPI) -> None:
    """Serve the dashboards from the root of an application; errors become pages for people."""
    for module in ROUTERS:
        app.include_router(module.router)
    refusals.install(app)
