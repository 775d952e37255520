"""``gradwatch import``: what other tools have logged becomes runs of the service.

Each run is imported under an id that follows from where it comes from, and a step that is stored is
not stored again: the command may be repeated, after a failure or when the log has grown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from gradwatch import config, retry
from gradwatch.errors import BadConfig, Refused
from gradwatch.history import mlflow_files, mlflow_server, tensorboard, wandb
from gradwatch.history.mapping import Rule, read_rules
from gradwatch.history.past_run import PastRun
from gradwatch.history.steps import Plan, plan
from gradwatch.launch import read_launch
from gradwatch.layers import LayerTable
from gradwatch.terminal import complain, text, write
from gradwatch.transport import API, Transport
from gradwatch.values import JsonValue, is_name

TAG = "imported"
SILENCE_FOR = "1d"
NAMES_SHOWN = 4
DEFAULT_PROJECT = "default"


def import_history(argv: Sequence[str]) -> int:
    """Import what TensorBoard, MLflow or W&B have logged, to judge and back-test it."""
    args = _parser().parse_args(argv)
    rules = (*read_rules(args.map), *read_rules(f"{name}=" for name in args.leave_out))
    settings = config.load()
    with closing(Transport(settings)) as transport, ExitStack() as stack:
        importing = _Import(transport, settings, rules, args.project, stack, tell=args.tell)
        for run in _runs(args.source, args.place):
            importing.show(run) if args.dry_run else importing.take(run)
    if not importing.runs:
        raise BadConfig(f"there is no run of {args.source} in {args.place}")
    return 1 if importing.rejected else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradwatch import",
        description="Import what other tools have logged, to judge and back-test it.",
        epilog="It may be repeated: what is stored is not stored again.",
    )
    parser.add_argument("source", choices=tuple(_READERS), help="which tool")
    parser.add_argument("place", help="its folder or file; for mlflow also http://SERVER")
    parser.add_argument("--project", help=f"into which (default: as there, or {DEFAULT_PROJECT})")
    parser.add_argument(
        "--map", action="append", default=[], metavar="TAG=METRIC",
        help="what a series is, such as 'Loss/total=loss'; a * stands for the name of a layer: "
        "'grads/*/l2=grad_norm'; more than once",
    )  # fmt: skip
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="TAG",
        help="a series not to import, such as 'eval/*'; more than once",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="send nothing, show what would be")
    parser.add_argument(
        "--tell", action="store_true", help="have people notified of what is found (default: not)"
    )
    return parser


def _runs(source: str, place: str) -> Iterator[PastRun]:
    """The runs in a place.

    Raises:
        BadConfig: it cannot be read.
    """
    if source == "mlflow" and place.startswith(("http://", "https://")):
        yield from mlflow_server.read(place)
        return
    if not Path(place).exists():
        raise BadConfig(f"there is no {place}")
    try:
        yield from _READERS[source](Path(place))
    except OSError as error:
        raise BadConfig(f"cannot read {place}: {error}") from error


_READERS: Mapping[str, Callable[[Path], Iterator[PastRun]]] = {
    "tensorboard": tensorboard.read,
    "mlflow": mlflow_files.read,
    "wandb": wandb.read,
}


@dataclass
class _Import:
    """Imports one run after the other; ``stack`` undoes at the end what was only for the time."""

    transport: Transport
    settings: config.Config
    rules: Sequence[Rule]
    project: str | None
    stack: ExitStack
    tell: bool
    runs: int = 0
    rejected: int = 0
    silenced: set[str] = field(default_factory=set)

    def show(self, run: PastRun) -> Plan:
        """Say what becomes of a run."""
        self.runs += 1
        found = plan(run, self.rules)
        steps = len({step for series in found.series.values() for step in series})
        write(f"{run.source} {run.name}: {found.values} values of {steps} steps")
        for metric, names in sorted(found.mapped.items()):
            if names != [metric]:
                write(f"    {_some(sorted(names))} -> {metric}")
        own = [metric for metric, names in sorted(found.mapped.items()) if names == [metric]]
        if own:
            write(f"    as they are: {_some(own)}")
        for what, count in sorted(found.left_out.items()):
            write(f"    left out: {count} x {what}")
        return found

    def take(self, run: PastRun) -> None:
        """Import a run."""
        found = self.show(run)
        project = self._project_of(run)
        self._silence(project)
        run_id = str(run.id_in(project))
        self._open(run, run_id, project)
        stored = again = 0
        for batch in found.batches():
            receipt = self._post(f"/runs/{run_id}/steps", {"steps": list(batch)})
            stored += _count(receipt, "accepted")
            again += _count(receipt, "duplicates")
            self.rejected += _count(receipt, "rejected")
        ended = self._post(f"/runs/{run_id}/finish", {"state": run.state})
        write(f"    {stored} steps stored, {again} were there already")
        write(f"    project {project}, run {run_id}, {text(ended, 'state')}")

    def _project_of(self, run: PastRun) -> str:
        project = self.project or run.project or DEFAULT_PROJECT
        if not is_name(project):
            raise BadConfig("a project has a name of 1 to 512 printable bytes: give one: --project")
        return project

    def _open(self, run: PastRun, run_id: str, project: str) -> None:
        given = {
            "id": run_id,
            "launch_id": run_id,
            "name": run.name,
            "config": run.config,
            "tags": [TAG, run.source, *filter(is_name, run.tags)],
        }
        launch, bad = read_launch(project, given)
        if bad:
            complain(f"{run.name}: left out, as the service could not store it: {', '.join(bad)}")
        self._post("/runs", launch.body(LayerTable()))

    def _post(self, path: str, body: Mapping[str, JsonValue]) -> Mapping[str, object]:
        return retry.post(self.transport, self.settings, API + path, body)

    def _silence(self, project: str) -> None:
        """Have nobody told of what was found in the past, until all is imported."""
        if self.tell or project in self.silenced:
            return
        self.silenced.add(project)
        wanted: dict[str, JsonValue] = {
            "project": project,
            "matchers": [{"name": "tag", "op": "=", "value": TAG}],
            "duration": SILENCE_FOR,
            "comment": "history is being imported",
            "by": "gradwatch import",
        }
        try:
            silence = self._post("/silences", wanted)
        except Refused as error:
            complain(f"people may be told of what is found: no silence is possible ({error})")
            return
        path = f"{API}/silences/{text(silence, 'id')}"
        self.stack.callback(self.transport.delete, path)


def _count(receipt: Mapping[str, object], key: str) -> int:
    value = receipt.get(key)
    return value if isinstance(value, int) else 0


def _some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
