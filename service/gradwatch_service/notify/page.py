"""A message as a page for mail: what a reader sees without loading anything from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as attribute

from gradwatch_service.notify.escape import html
from gradwatch_service.notify.words import Item, Words

FRAME = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="color-scheme" content="light"></head>'
    '<body style="margin:0;padding:16px;background:#fff;color:#1a1a1a;'
    'font:15px/1.5 system-ui,sans-serif"><div style="max-width:640px">{}</div></body></html>'
)
PICTURE = (
    '<img src="cid:{}" width="640" height="320" style="max-width:100%;height:auto" '
    'alt="Loss and gradient norm over the newest steps">'
)


def page_of(words: Words, picture_id: str) -> str:
    """The page; ``picture_id`` names a picture sent along, empty: there is none."""
    return FRAME.format("\n".join(_parts(words, picture_id)))


def _parts(words: Words, picture_id: str) -> Iterator[str]:
    yield f'<h1 style="font-size:19px;margin:0 0 12px">{html(words.title)}</h1>'
    if words.intro:
        yield f"<p>{html(words.intro)}</p>"
    for item in words.items:
        yield from _item(item)
    if words.outro:
        yield f"<p>{html(words.outro)}</p>"
    if picture_id:
        yield PICTURE.format(attribute(picture_id))
    if words.link:
        yield f'<p><a href="{attribute(words.link)}">Open in Gradwatch</a></p>'


def _item(item: Item) -> Iterator[str]:
    if item.heading:
        yield f'<h2 style="font-size:16px;margin:16px 0 4px">{html(item.heading)}</h2>'
    for question, answer in item.facts:
        yield f'<p style="margin:4px 0"><b>{html(question)}:</b> {html(answer)}</p>'
    if item.steps:
        steps = "".join(f"<li>{html(step)}</li>" for step in item.steps)
        yield f'<p style="margin:8px 0 0"><b>What to do:</b></p><ol>{steps}</ol>'
