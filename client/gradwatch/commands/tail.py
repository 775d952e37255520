"""``gradwatch tail RUN``: the newest steps of a run and its alerts, as they come."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from gradwatch.commands import Context
from gradwatch.commands.alerts import describe
from gradwatch.terminal import number, text, write, write_json
from gradwatch.transport import API, Transport, items_of

METRICS = ("loss", "grad_norm", "lr")
POLL_SECONDS = 1.0
MAX_POINTS = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", metavar="RUN", help="id of the run")
    parser.add_argument("--lines", type=int, default=10, help="steps to begin with (default: 10)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace, context: Context) -> int:
    """Follow a run until it ends."""
    shown = _Shown(args.run, context.transport, as_json=args.json)
    record = shown.read_run()
    shown.next_step = max(0, _last_step(record) + 1 - args.lines)
    while True:
        shown.show_news(_last_step(record))
        if record.get("state") in ("finished", "failed"):
            break
        threading.Event().wait(POLL_SECONDS)
        record = shown.read_run()
    if not args.json:
        write(f"the run has {text(record, 'state')}")
    return 0


def _last_step(record: Mapping[str, object]) -> int:
    last = record.get("last_step")
    return last if isinstance(last, int) else -1


@dataclass
class _Shown:
    """What has been shown so far."""

    run_id: str
    transport: Transport
    as_json: bool
    next_step: int = 0
    alerts: dict[object, object] = field(default_factory=dict)

    def read_run(self) -> Mapping[str, object]:
        return self.transport.get(f"{API}/runs/{self.run_id}").expect_success()

    def show_news(self, last_step: int) -> None:
        for alert in reversed(items_of(self.transport.get(f"{API}/alerts", run=self.run_id))):
            key = (alert.get("state"), alert.get("severity"))
            if self.alerts.get(alert.get("id")) != key:
                self.alerts[alert.get("id")] = key
                self._show_alert(alert)
        for step, values in sorted(self._steps(last_step).items()):
            self._show_step(step, values)
            self.next_step = step + 1

    def _steps(self, last_step: int) -> dict[int, dict[str, object]]:
        """The steps not shown yet, up to the last one known before the metrics are read."""
        steps: dict[int, dict[str, object]] = {}
        if last_step < self.next_step:
            return steps
        path = f"{API}/runs/{self.run_id}/series"
        span: dict[str, str | int | None] = {"from": self.next_step, "to": last_step}
        for metric in METRICS:
            answer = self.transport.get(path, metric=metric, points=MAX_POINTS, **span)
            body = answer.expect_success()
            for step, value in zip(_list(body, "steps"), _list(body, "values"), strict=False):
                if isinstance(step, int):
                    steps.setdefault(step, {})[metric] = value
        return steps

    def _show_step(self, step: int, values: Mapping[str, object]) -> None:
        if self.as_json:
            write_json({"step": step, **values})
        else:
            cells = (f"{metric} {number(values.get(metric)):<10}" for metric in METRICS)
            write(f"step {step:<8}  {'  '.join(cells)}".rstrip())

    def _show_alert(self, alert: Mapping[str, object]) -> None:
        if self.as_json:
            write_json({"alert": alert})
        else:
            for line in describe(alert):
                write(line)


def _list(body: Mapping[str, object], key: str) -> list[object]:
    value = body.get(key)
    return value if isinstance(value, list) else []
