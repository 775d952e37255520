"""Slack's incoming webhooks, and all that take the same: Mattermost, Discord's ``…/slack``, …."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

from gradwatch_service.notify.escape import slack
from gradwatch_service.notify.message import Message
from gradwatch_service.notify.options import Options, Url
from gradwatch_service.notify.outgoing import Outgoing
from gradwatch_service.notify.verdict import require_taken
from gradwatch_service.notify.words import Item, Words, words_of

SECTION_MAX = 3_000


class Settings(Options):
    """``url``: the address that Slack shows when an incoming webhook is added."""

    url: Url


class Way:
    """Posts ``text``, which every service of this family shows, and ``blocks`` for Slack."""

    def __init__(self, settings: Settings, outgoing: Outgoing) -> None:
        self._url = settings.url.get_secret_value()
        self._outgoing = outgoing

    def deliver(self, message: Message) -> None:
        """Post one message."""
        content = json.dumps(body_of(words_of(message))).encode()
        headers = {"Content-Type": "application/json"}
        require_taken(self._outgoing.send("POST", self._url, headers, content))


def body_of(words: Words) -> dict[str, Any]:
    """A message as Slack takes it."""
    return {"text": words.text(slack), "blocks": [*_blocks(words)]}


def _blocks(words: Words) -> Iterator[dict[str, Any]]:
    title = {"type": "plain_text", "text": words.title, "emoji": False}
    yield {"type": "header", "text": title}
    if words.intro:
        yield _section(slack(words.intro))
    for item in words.items:
        yield _section(_item(item))
    link = f"<{_href(words.link)}|Open in Gradwatch>" if words.link else ""
    if words.outro or link:
        yield _section(" ".join(filter(None, (words.outro, link))))


def _section(text: str) -> dict[str, Any]:
    shown = {"type": "mrkdwn", "text": text[:SECTION_MAX], "verbatim": True}
    return {"type": "section", "text": shown}


def _item(item: Item) -> str:
    facts = (f"*{question}*: {slack(answer)}" for question, answer in item.facts)
    steps = (f"{number}. {slack(step)}" for number, step in enumerate(item.steps, 1))
    todo = ["*What to do*:", *steps] if item.steps else []
    heading = [f"*{slack(item.heading)}*"] if item.heading else []
    return "\n".join([*heading, *facts, *todo])


def _href(link: str) -> str:
    return html.escape(link, quote=False).replace("|", "%7C")
