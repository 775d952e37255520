"""``gradwatch backtest``: what somebody asks for on the command line, and the table they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from gradwatch_service.api.rule_settings import checked
from gradwatch_service.detect.tuning import as_changes
from gradwatch_service.domain import RuleChanges
from gradwatch_service.errors import Invalid

WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
COUNTS = (
    ("pages", "pages (somebody is called)"),
    ("warnings", "warnings"),
    ("information", "information"),
    ("runs_alerted", "runs with a page or warning"),
)
MOST_ROWS = 40
WIDEST = 60


def changes_of(assignments: Sequence[str]) -> RuleChanges:
    """What ``--set RULE.SETTING=VALUE``, given any number of times, asks for.

    Raises:
        Invalid: it is not of this form, or no rule has that.
    """
    sent: dict[str, dict[str, Any]] = {}
    for text in assignments:
        name, _, value = text.partition("=")
        rule, _, setting = name.strip().partition(".")
        if not (setting and value):
            raise Invalid(f"--set {text}: write RULE.SETTING=VALUE, as gradient-spike.threshold=7")
        sent.setdefault(rule, {})[setting] = _value(value.strip().lower())
    return as_changes(checked(sent, "settings"))


def _value(text: str) -> bool | float | str:
    if text in WORDS:
        return WORDS[text]
    try:
        return float(text)
    except ValueError:
        return text  # refused with what would be right


def table(found: Mapping[str, Any]) -> str:
    """The result for people: totals first, then the runs in which something would change."""
    totals = found["totals"]
    lines = [
        f"{totals['runs']:,} runs of {found['project']}, {totals['steps']:,} steps, "
        "judged by the present settings and by yours.",
        "",
        f"{'':<32}{'now':>8}{'yours':>8}",
        *_counts(totals),
        "",
        *_runs([run for run in found["runs"] if run["changed"]]),
        *_left_out(found["left_out"]),
    ]
    return "\n".join(lines).rstrip()


def _counts(totals: Mapping[str, Any]) -> Iterator[str]:
    now, yours = totals["present"], totals["proposed"]
    for key, words in COUNTS:
        change = yours[key] - now[key]
        told = f"{change:+8,}" if change else ""
        yield f"{words:<32}{now[key]:>8,}{yours[key]:>8,}{told}"
    for key in ("pages_per_10k_steps", "warnings_per_10k_steps"):
        words = key.replace("_per_10k_steps", " per 10,000 steps")
        yield f"{words:<32}{now[key]:>8.2f}{yours[key]:>8.2f}"


def _runs(changed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not changed:
        yield "No run would say anything else."
        return
    yield "What would change:"
    rows = list(chain.from_iterable(map(_differences, changed)))
    yield from rows[:MOST_ROWS]
    if len(rows) > MOST_ROWS:
        yield f"  … and {len(rows) - MOST_ROWS:,} more"


def _differences(run: Mapping[str, Any]) -> Iterator[str]:
    now = {alert["cause"]: alert for alert in run["present"]}
    yours = {alert["cause"]: alert for alert in run["proposed"]}
    for cause in [*now, *(cause for cause in yours if cause not in now)]:
        before, after = now.get(cause), yours.get(cause)
        if before == after:
            continue
        alert = after or before or {}
        sign = "-" if after is None else "+" if before is None else "~"
        was = " → ".join(filter(None, (_kind(before), _kind(after))))
        title = alert["title"][:WIDEST]
        yield f"  {sign} {run['name'][:24]:<24} step {alert['opened_step']:>9,}  {was}: {title}"


def _kind(alert: Mapping[str, Any] | None) -> str:
    if alert is None:
        return ""
    return "page" if alert["actionable"] else str(alert["severity"])


def _left_out(left: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    reasons = [str(one["why"]) for one in left]
    for why in dict.fromkeys(reasons):
        yield f"Left out: {reasons.count(why):,} runs, as {why}."
