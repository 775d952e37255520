"""What each rule sees and what each cause means, from the code itself; ``docs/`` has it from here.

``examples.json``: per cause the alert that folding its test fault gave; ``make docs`` writes it.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

from markupsafe import Markup, escape

from gradwatch_service.detect import tuning
from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.detect.tuning import Threshold, thresholds
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.causes import catalogue as causes

EXAMPLES: Final = "examples.json"
DECIDES: Final = {
    1: "the client, by itself",
    2: "autopilot 2, at confidence .7",
    3: "autopilot 3, at confidence .85 and severity error",
    4: "a person",
}


@dataclass(frozen=True, slots=True)
class RulePage:
    """A rule; ``fixed``: what nobody sets; ``behind``: id, title and words of possible causes."""

    id: str
    sees: str
    paragraphs: Sequence[str]
    settable: Sequence[Threshold]
    fixed: Sequence[tuple[str, str]]
    clear_after: int
    behind: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class CausePage:
    """A cause; ``signs``: name, weight and when it is seen; ``example``: an alert it gave."""

    id: str
    title: str
    in_short: str
    signs: Sequence[tuple[str, int, str]]
    explains: Sequence[str]
    example: Mapping[str, Any]


@lru_cache(256)
def rule_page(identity: str) -> RulePage | None:
    """The page of a rule; None if there is no such rule."""
    rule = next((one for one in rules() if one.id == identity), None)
    if rule is None:
        return None
    return RulePage(
        id=rule.id,
        sees=sees(rule),
        paragraphs=paragraphs(type(rule)),
        settable=thresholds(rule),
        fixed=fixed(rule),
        clear_after=rule.clear_after,
        behind=[
            (cause.id, cause.title, in_short(cause))
            for cause in causes()
            if rule.id in cause.explains
        ],
    )


@lru_cache(256)
def cause_page(identity: str) -> CausePage | None:
    """The page of a cause; None if there is no such cause."""
    cause = next((one for one in causes() if one.id == identity), None)
    if cause is None:
        return None
    return CausePage(
        id=cause.id,
        title=cause.title,
        in_short=in_short(cause),
        signs=[(sign.name, sign.weight, meaning(sign)) for sign in cause.signs],
        explains=sorted(cause.explains),
        example=examples()[cause.id],
    )


@cache
def examples() -> Mapping[str, Mapping[str, Any]]:
    """Cause -> the alert that its test fault gave."""
    text = (files("gradwatch_service.web") / EXAMPLES).read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return found


def sees(rule: Rule[Any]) -> str:
    """What a rule sees, in a sentence."""
    return sentence(tuning.sees(rule))


def in_short(cause: Cause) -> str:
    """What a cause is, in a sentence: that of its module."""
    module = sys.modules[f"gradwatch_service.diagnose.causes.{cause.id.replace('-', '_')}"]
    return sentence((module.__doc__ or "").split("\n\n")[0].partition(": ")[2])


def paragraphs(kind: type) -> list[str]:
    """The docstring of a rule."""
    words = (inspect.getdoc(kind) or "").split("\n\n")
    return [sentence(" ".join(paragraph.split()).replace("``", "`")) for paragraph in words]


def fixed(rule: Rule[Any]) -> list[tuple[str, str]]:
    """The thresholds that nobody sets."""
    own = {one.name for one in thresholds(rule)}
    named = [field.name for field in fields(rule) if field.name not in own]  # type: ignore[arg-type]
    return [(name, _shown(getattr(rule, name))) for name in named]


def meaning(sign: Sign) -> str:
    """When a sign is seen."""
    return " ".join((inspect.getdoc(sign.seen) or "").split())


def sentence(text: str) -> str:
    """With a capital at its beginning, unless that is a symbol such as t or z."""
    text = " ".join(text.split())
    is_symbol = text[1:2] == " " and text[0] != "a"
    return text if is_symbol else text[:1].upper() + text[1:]


def prose(text: str) -> Markup:
    """What stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
