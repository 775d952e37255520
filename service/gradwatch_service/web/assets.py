"""What pages load: our modules and styles, and Plotly.js from the installed package."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.policy import public
from gradwatch_service.errors import NotFound

router = APIRouter(include_in_schema=False)

PREFIX = "/static"
PLOTLY = "plotly.min.js"
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}  # a change is another address
MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def address(name: str) -> str:
    """Where a file is served, under an address that changes with any of our files."""
    return f"{PREFIX}/{edition()}/{name}"


@router.get(PREFIX + "/{made}/{name:path}")
@public
def get_asset(made: str, name: str, request: Request) -> Response:  # noqa: ARG001
    """One file; modules import each other by relative addresses, so ``made`` is in all of them."""
    found = _files().get(name)
    if found is None:
        raise NotFound("no such file")
    return Response(
        found.read_bytes(), headers=KEPT, media_type=MEDIA_TYPES[name.rpartition(".")[2]]
    )


@cache
def _files() -> dict[str, Traversable]:
    """Every file by its name; nothing else can be asked for."""
    ours = dict(_below(files("gradwatch_service.web") / "static"))
    return ours | {PLOTLY: files("plotly") / "package_data" / PLOTLY}


def _below(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _below(one, f"{prefix}{one.name}/")
        elif one.name.rpartition(".")[2] in MEDIA_TYPES:
            found.append((prefix + one.name, one))
    return found


@cache
def edition() -> str:
    """Of all files together: one address for a consistent set."""
    content = b"".join(sha256(one.read_bytes()).digest() for _, one in sorted(_files().items()))
    return sha256(content).hexdigest()[:16]
