"""Writes one page per rule and cause from the code itself: ``make docs``.

What a rule sees, its formula and its source are its docstrings, the thresholds are its fields, and
the alert on a cause's page is what folding that cause's test fault gave.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.service.diagnose.faults import FAULTS
from tests.service.diagnose.streams import tell

from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.detect.tuning import thresholds
from gradwatch_service.diagnose.cause import Cause, Sign
from gradwatch_service.diagnose.causes import catalogue as causes
from gradwatch_service.domain import Advice, AlertPart
from gradwatch_service.store.codec import plain
from gradwatch_service.web.handbook import (
    DECIDES,
    EXAMPLES,
    fixed,
    meaning,
    paragraphs,
    sees,
)

FOLDER = Path(__file__).parent
DASHBOARDS = FOLDER.parent / "service" / "gradwatch_service" / "web"
NOTE = "<!-- Written by docs/handbook.py from the code; `make docs` writes it anew. -->"


def pages() -> dict[str, str]:
    """Every page, by its path under ``docs/``."""
    written = {f"rules/{rule.id}.md": _rule_page(rule) for rule in rules()}
    written |= {f"causes/{cause.id}.md": _cause_page(cause) for cause in causes()}
    written["rules/README.md"] = _rules_index()
    written["causes/README.md"] = _causes_index()
    return written


def examples() -> str:
    """The alerts on the pages of causes, for the handbook in the dashboards."""
    found = {cause.id: _shown(_example(cause.id)) for cause in causes()}
    return json.dumps(plain(found), indent=1, ensure_ascii=False) + "\n"


def _shown(alert: AlertPart) -> dict[str, Any]:
    return {
        "title": alert.title,
        "rule": alert.rule,
        "severity": alert.severity.label,
        "confidence": alert.confidence,
        "explanation": alert.explanation,
        "evidence": list(dict.fromkeys(fact.text for fact in alert.evidence)),
        "advice": [
            {
                "title": one.title,
                "text": one.text,
                "code": one.code,
                "action": one.action,
                "params": one.params,
                "class": one.klass,
                "undo": one.undo,
            }
            for one in alert.advice
        ],
    }


def _rule_page(rule: Rule[Any]) -> str:
    behind = [cause for cause in causes() if rule.id in cause.explains]
    return _page(
        f"# {rule.id}",
        sees(rule),
        *paragraphs(type(rule)),
        "## Thresholds",
        *_settable(rule),
        *_fixed(fixed(rule)),
        f"An episode ends after {rule.clear_after} calm reports in a row.",
        "## What to do",
        "It depends on the cause. Those that can be behind it:",
        _table(
            ("cause", "in short", "remedies"),
            [(_link(cause), cause.title, _remedies(cause)) for cause in behind],
        ),
    )


def _settable(rule: Rule[Any]) -> Iterator[str]:
    found = thresholds(rule)
    yield (
        "[A project may set](../rules-per-project.md) whether it judges (`enabled`), whether it "
        "may call people (`notify`)" + (", and:" if found else ".")
    )
    if found:
        rows = [
            (f"`{one.name}`", f"{one.default:g} {one.unit}".strip(), one.meaning,
             f"{one.low:g} to {one.high:g}")
            for one in found
        ]  # fmt: skip
        yield _table(("threshold", "value", "meaning", "may be"), rows)


def _fixed(held: Sequence[tuple[str, str]]) -> Iterator[str]:
    if held:
        yield "Fixed:"
        yield _table(("threshold", "value"), [(f"`{name}`", value) for name, value in held])


def _cause_page(cause: Cause) -> str:
    alert = _example(cause.id)
    return _page(
        f"# {cause.id}: {cause.title.lower()}",
        "## How it is recognised",
        "Confidence is min(.95, sigmoid(sum of the weights that are present - 2)).",
        _table(("evidence", "weight", "seen when"), [_sign(sign) for sign in cause.signs]),
        "It can be behind "
        + ", ".join(f"[{id_}](../rules/{id_}.md)" for id_ in sorted(cause.explains))
        + ".",
        "## An alert, as the service writes it",
        f"**{alert.title}** (rule `{alert.rule}`, severity {alert.severity.label}, "
        f"confidence {alert.confidence:.0%})",
        f"> {alert.explanation}",
        *(f"- {fact.text}" for fact in alert.evidence),
        "## What to do",
        *(text for place, advice in enumerate(alert.advice, 1) for text in _remedy(place, advice)),
    )


def _remedy(place: int, advice: Advice) -> Iterator[str]:
    yield f"### {place}. {advice.title}"
    yield advice.text
    yield f"```python\n{advice.code}\n```"
    decides = DECIDES[advice.klass]
    yield f"`{advice.action}` {json.dumps(advice.params)}. Decides: {decides}. Undo: {advice.undo}"


def _rules_index() -> str:
    rows = [(f"[{rule.id}]({rule.id}.md)", sees(rule)) for rule in rules()]
    return _page("# Rules", "What each detector sees.", _table(("rule", "sees"), rows))


def _causes_index() -> str:
    rows = [(_link(cause, "."), cause.title, _remedies(cause)) for cause in causes()]
    return _page(
        "# Causes",
        "What can go wrong, and what helps.",
        _table(("cause", "in short", "remedies"), rows),
    )


@cache
def _example(cause_id: str) -> AlertPart:
    return tell(FAULTS[cause_id]()).parts[cause_id]


def _remedies(cause: Cause) -> str:
    return ", ".join(dict.fromkeys(f"`{advice.action}`" for advice in _example(cause.id).advice))


def _sign(sign: Sign) -> tuple[str, str, str]:
    return f"`{sign.name}`", f"{sign.weight:+d}", meaning(sign)


def _link(cause: Cause, folder: str = "../causes") -> str:
    return f"[{cause.id}]({folder}/{cause.id}.md)"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _page(*parts: str) -> str:
    text = "\n\n".join((NOTE, *parts)) + "\n"
    return re.sub(r"(?<=\n)(- .*)\n\n(?=- )", r"\1\n", text)


def main() -> None:
    """Write the pages; remove those whose rule or cause is gone."""
    written = pages()
    for folder in ("rules", "causes"):
        (FOLDER / folder).mkdir(exist_ok=True)
        for path in (FOLDER / folder).glob("*.md"):
            if f"{folder}/{path.name}" not in written:
                path.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    (DASHBOARDS / EXAMPLES).write_text(examples(), encoding="utf-8")
    sys.stdout.write(f"{len(written)} pages\n")


if __name__ == "__main__":
    main()
