"""``gradwatch alerts``: what is wrong, where, and the first thing to do about it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from gradwatch.commands import Context
from gradwatch.terminal import age, text, write, write_json
from gradwatch.transport import API, items_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--project")
    parser.add_argument("--run", help="id of one run")
    parser.add_argument("--state", choices=("pending", "firing", "acknowledged", "resolved"))
    parser.add_argument("--severity", choices=("info", "warning", "error", "critical"))
    parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace, context: Context) -> int:
    """List alerts, the newest first."""
    answer = context.transport.get(
        f"{API}/alerts",
        project=args.project,
        run=args.run,
        state=args.state,
        severity=args.severity,
        limit=args.limit,
    )
    alerts = items_of(answer)
    for alert in alerts:
        if args.json:
            write_json(alert)
        else:
            _write_alert(alert)
    if not alerts and not args.json:
        write("no alerts")
    return 0


def _write_alert(alert: Mapping[str, object]) -> None:
    for line in describe(alert):
        write(line)
    write(f"    run {text(alert, 'run_id')}, project {text(alert, 'project')}, "
          f"changed {age(alert.get('updated_at'))}")  # fmt: skip


def describe(alert: Mapping[str, object]) -> list[str]:
    """An alert in a few lines: what, since which step, in which layers, and what to do first."""
    severity, state = text(alert, "severity").upper(), text(alert, "state")
    lines = [f"{severity:<8}  {state}  {text(alert, 'title')}"]
    layers = alert.get("layers")
    where = f" in {', '.join(map(str, layers[:3]))}" if isinstance(layers, list) and layers else ""
    lines.append(
        f"    since step {text(alert, 'opened_step')}{where}; "
        f"cause: {text(alert, 'cause')}; rule: {text(alert, 'rule')}"
    )
    advice = alert.get("advice")
    if isinstance(advice, list) and advice and isinstance(advice[0], dict):
        lines.append(f"    do: {text(advice[0], 'title')}")
    return lines
