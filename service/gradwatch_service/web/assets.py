"""What pages load: our modules and styles, and Plotly.js from the installed package."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.policy import public
from gradwatch_service.errors import NotFound
from gradwatch_service.web.parsing import parsed_once

router = APIRouter(include_in_schema=False)

PREFIX = "/static"
PLOTLY = "plotly.min.js"
ICON = "icon.svg"
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}  # a change is another address
ASKED_AGAIN = {"Cache-Control": "no-cache"}  # at addresses that stay, or of another edition
MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
GZIP_LEVEL = 6


@dataclass(frozen=True)
class Asset:
    """One file, read and compressed once, when it is first asked for."""

    name: str
    source: Traversable
    made: Callable[[bytes], bytes] = bytes

    @cached_property
    def content(self) -> bytes:
        """What is served."""
        return self.made(self.source.read_bytes())

    @cached_property
    def digest(self) -> str:
        """What tells it from any other content."""
        return sha256(self.content).hexdigest()

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self.content, GZIP_LEVEL, mtime=0)

    @property
    def compressed(self) -> bytes:
        """The file as it travels; many may ask at once for the first time."""
        with _compressing:
            return self._compressed

    def answer(self, request: Request, keeping: Mapping[str, str]) -> Response:
        """The file, or that whoever asks has it already."""
        takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
        tag = f'"{self.digest[:24]}{"-gzip" if takes_gzip else ""}"'
        headers = {"ETag": tag, "Vary": "Accept-Encoding", **keeping}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if takes_gzip:
            headers["Content-Encoding"] = "gzip"
        body = self.compressed if takes_gzip else self.content
        media_type = MEDIA_TYPES[self.name.rpartition(".")[2]]
        return Response(body, headers=headers, media_type=media_type)


_compressing = threading.Lock()


def address(name: str) -> str:
    """Where a file is served, under an address that changes with any of our files."""
    return f"{PREFIX}/{edition()}/{name}"


@router.get(PREFIX + "/{made}/{name:path}")
@public
def get_asset(made: str, name: str, request: Request) -> Response:  # in a thread: it compresses
    """One file; modules import each other by relative addresses, so ``made`` is in all of them."""
    found = _files().get(name)
    if found is None:
        raise NotFound("no such file")
    return found.answer(request, KEPT if made == edition() else ASKED_AGAIN)


@router.get("/favicon.ico")
@public
def get_icon(request: Request) -> Response:
    """What browsers ask for wherever no page says otherwise."""
    return _files()[ICON].answer(request, ASKED_AGAIN)


@cache
def _files() -> dict[str, Asset]:
    """Every file by its name; nothing else can be asked for."""
    ours = _below(files("gradwatch_service.web") / "static")
    plotly = Asset(PLOTLY, files("plotly") / "package_data" / PLOTLY, parsed_once)
    return {name: Asset(name, source) for name, source in ours} | {PLOTLY: plotly}


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
    content = "".join(one.digest for _, one in sorted(_files().items()))
    return sha256(content.encode()).hexdigest()[:16]
