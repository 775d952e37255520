"""What pages load: compressed, known again, kept for ever under an address that changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from gradwatch_service.web.assets import PLOTLY, address
from gradwatch_service.web.parsing import parsed_once
from tests.service.api.conftest import Api, served

HOST = "http://test"
GZIP = {"accept-encoding": "br, gzip"}
STATIC = Path(str(files("gradwatch_service.web") / "static"))
NAMES = [str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("assets")) as running:
        yield running


def fetch(api: Api, name: str, **headers: str) -> httpx.Response:
    plain = {"accept-encoding": "identity"}
    return api.send("GET", HOST + address(name), headers=plain | headers)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_served_as_it_is_and_may_be_kept(api: Api, name: str):
    answer = fetch(api, name)
    assert answer.content == (STATIC / name).read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "Accept-Encoding"


def test_plotly_travels_compressed_and_is_compressed_once(api: Api):
    def size(_: int) -> int:
        answer = api.send("GET", HOST + address(PLOTLY), headers=GZIP)
        assert answer.headers["content-encoding"] == "gzip"
        return int(answer.headers["content-length"])

    with ThreadPoolExecutor(4) as pool:
        (compressed,) = set(pool.map(size, range(4)))
    whole = (files("plotly") / "package_data" / PLOTLY).read_bytes()
    assert compressed < len(whole) / 3
    assert fetch(api, PLOTLY, **GZIP).content == parsed_once(whole)


def test_what_is_known_already_is_not_sent_again(api: Api):
    tags = {fetch(api, "js/shell.js", **headers).headers["etag"] for headers in ({}, GZIP)}
    assert len(tags) == 2  # what travels differs
    tag = fetch(api, "js/shell.js", **GZIP).headers["etag"]
    again = fetch(api, "js/shell.js", **GZIP, **{"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    other = fetch(api, "js/shell.js", **GZIP, **{"if-none-match": '"other"'})
    assert other.status_code == 200


def test_a_file_of_another_edition_is_not_kept(api: Api):
    """While replicas are exchanged, a page of one may ask the other for what it loads."""
    path = re.sub("/static/[0-9a-f]+/", "/static/0123456789abcdef/", address("js/shell.js"))
    answer = api.send("GET", HOST + path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["nothing.js", "../templates/base.html", "..%2f..%2fapp.py", ""])
def test_there_is_nothing_else(api: Api, name: str):
    assert api.send("GET", HOST + address("") + name).status_code == 404


def test_browsers_find_the_icon_where_they_look_by_themselves(api: Api):
    answer = api.send("GET", f"{HOST}/favicon.ico", headers=GZIP)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.content == (STATIC / "icon.svg").read_bytes()
