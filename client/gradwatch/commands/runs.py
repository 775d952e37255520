"""``gradwatch runs``: the newest runs and how they are."""

from __future__ import annotations

import argparse

from gradwatch.commands import Context
from gradwatch.terminal import age, text, write, write_json, write_table
from gradwatch.transport import API, items_of

TITLES = ("RUN", "PROJECT", "NAME", "STATE", "HEALTH", "STEP", "ALERTS", "SEEN")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--project")
    parser.add_argument("--state", choices=("running", "finished", "failed", "stale"))
    parser.add_argument("--health", choices=("ok", "warning", "critical"))
    parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace, context: Context) -> int:
    """List runs, the newest first."""
    answer = context.transport.get(
        f"{API}/runs",
        project=args.project,
        state=args.state,
        health=args.health,
        limit=args.limit,
    )
    runs = items_of(answer)
    if args.json:
        for item in runs:
            write_json(item)
    elif not runs:
        write("no runs")
    else:
        keys = ("id", "project", "name", "state", "health", "last_step", "open_alerts")
        rows = [
            [*(text(item, key) for key in keys), age(item.get("last_seen_at"))] for item in runs
        ]
        write_table(TITLES, rows)
    return 0
