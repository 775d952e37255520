"""``gradwatch push``: JSON lines on standard input become the steps of a run, from any language.

Each line is a step as in ``POST /runs/{id}/steps`` or ``{"event": {"kind": …}}``. A step that is
sent again is not stored again, so a file can be pushed twice and a request repeated.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from gradwatch import retry
from gradwatch.commands import Context
from gradwatch.errors import Refused
from gradwatch.ids import uuid7
from gradwatch.terminal import complain, write, write_json
from gradwatch.transport import API
from gradwatch.values import as_json

BATCH_LINES = 100
BATCH_SECONDS = 0.2
QUEUE_LINES = 1_000
ITEMS_REFUSED = (400, 422)

_WORDS = {
    "steps": "steps stored",
    "duplicates": "there already",
    "events": "events stored",
    "rejected": "lines refused",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--project", default="default", help="of the new run (default: default)")
    parser.add_argument("--name", help="of the new run")
    parser.add_argument("--run", help="id of a run to add to, instead of a new one")
    parser.add_argument("--json", action="store_true", help="print the totals, too, as JSON")


def run(args: argparse.Namespace, context: Context) -> int:
    """Send JSON lines from standard input as the steps of a run; prints its id and the totals."""
    pushing = _Push(context, args.run or str(uuid7()))
    if args.run is None:
        pushing.open(args.project, args.name)
    write(pushing.run_id)
    for batch in _batches(_start_reading()):
        pushing.send([item for line in batch for item in pushing.read(*line)])
    if args.run is None:
        pushing.post(f"/{pushing.run_id}/finish", {"state": "finished"})
    if args.json:
        write_json({"run_id": pushing.run_id, **pushing.totals})
    complain(pushing.summary())
    return 1 if pushing.totals["rejected"] else 0


@dataclass(frozen=True, slots=True)
class _Item:
    """One readable line."""

    line: int
    body: Mapping[str, Any]

    @property
    def is_event(self) -> bool:
        return "event" in self.body


@dataclass
class _Push:
    """One run being filled."""

    context: Context
    run_id: str
    totals: Counter[str] = field(default_factory=Counter)

    def open(self, project: str, name: str | None) -> None:
        """Make the run."""
        named = {} if name is None else {"name": name}
        self.post("", {"id": self.run_id, "project": project, **named})

    def read(self, number: int, line: str) -> list[_Item]:
        """The item on a line: none if the line is blank or cannot be read."""
        if not line.strip():
            return []
        try:
            body = json.loads(line)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            self._reject(number, 'no JSON object; write {"step": 0, "loss": 1.5}')
            return []
        return [_Item(number, body)]

    def send(self, items: Sequence[_Item]) -> None:
        """Send items in their order."""
        for are_events, group in groupby(items, key=lambda item: item.is_event):
            self._send_group("events" if are_events else "steps", list(group))

    def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """POST below ``/runs``, patiently."""
        return retry.post(self.context.transport, self.context.config, f"{API}/runs{path}", body)

    def summary(self) -> str:
        """What has become of the lines, in words."""
        counted = [
            f"{words}: {self.totals[what]}"
            for what, words in _WORDS.items()
            if what == "steps" or self.totals[what]
        ]
        return ", ".join(counted)

    def _send_group(self, what: str, items: Sequence[_Item]) -> None:
        bodies = [as_json(item.body["event"] if what == "events" else item.body) for item in items]
        try:
            receipt = self.post(f"/{self.run_id}/{what}", {what: bodies})
        except Refused as error:
            self._refused(what, items, error)
            return
        accepted = receipt.get("accepted")
        self.totals[what] += accepted if isinstance(accepted, int) else 0
        again = receipt.get("duplicates")
        if isinstance(again, int) and again:
            self.totals["duplicates"] += again
        for rejection in _dicts(receipt.get("rejections")):
            self._reject(items[int(rejection.get("index") or 0)].line, str(rejection.get("detail")))

    def _refused(self, what: str, items: Sequence[_Item], error: Refused) -> None:
        """Find the broken items of a refused group by halves; anything else ends the command."""
        if error.status not in (*ITEMS_REFUSED, 413):
            raise error
        if len(items) == 1:
            self._reject(items[0].line, str(error))
            return
        middle = len(items) // 2
        self._send_group(what, items[:middle])
        self._send_group(what, items[middle:])

    def _reject(self, line: int, reason: str) -> None:
        self.totals["rejected"] += 1
        complain(f"line {line}: {reason}")


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _start_reading() -> queue.Queue[tuple[int, str] | None]:
    """Read standard input in a thread: the lines of a slow job must not wait for more."""
    lines: queue.Queue[tuple[int, str] | None] = queue.Queue(QUEUE_LINES)

    def read() -> None:
        for numbered in enumerate(sys.stdin, 1):
            lines.put(numbered)
        lines.put(None)

    threading.Thread(target=read, name="gradwatch-stdin", daemon=True).start()
    return lines


def _batches(lines: queue.Queue[tuple[int, str] | None]) -> Iterator[list[tuple[int, str]]]:
    """What has been read, as soon as there is something, until the input ends."""
    while (line := lines.get()) is not None:
        batch = [line]
        deadline = time.monotonic() + BATCH_SECONDS
        ended = False
        while len(batch) < BATCH_LINES and not ended:
            try:
                following = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            ended = following is None
            batch.extend(() if following is None else (following,))
        yield batch
        if ended:
            return
