"""``python -m benchmarks.load``: the workloads on our service and on its peers, in one table."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load import profiled
from benchmarks.load.databases import DATABASES
from benchmarks.load.service import PLAIN, serving
from benchmarks.load.table import OURS, Row, table
from benchmarks.load.writing import WRITING, Workload, write

PROFILED_ENTRIES = 30


def main(argv: Sequence[str]) -> None:
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is stopped
    databases = list(DATABASES) if args.database == "both" else [args.database]
    for name in args.workload:
        if args.profile:
            _profile(databases, WRITING[name], args)
        else:
            print(table(list(_ours(databases, WRITING[name], args))), flush=True)


def _ours(databases: Sequence[str], workload: Workload, args: argparse.Namespace) -> Iterator[Row]:
    for name in databases:
        yield measured(name, workload, args.seconds, args.warmup)


def measured(
    database: str,
    workload: Workload,
    seconds: float,
    warmup: float,
    program: Sequence[str] = PLAIN,
) -> Row:
    """A workload on a fresh service and a fresh database."""
    with DATABASES[database]() as fresh:
        with serving(fresh, program) as service:
            found = write(service, workload, seconds, warmup)
        stored = sum(found.acknowledged) * workload.floats
        return Row(workload.name, f"{OURS} {database}", found, fresh.size() / max(stored, 1))


def _profile(databases: Sequence[str], workload: Workload, args: argparse.Namespace) -> None:
    for name in databases:
        with tempfile.TemporaryDirectory(prefix="gradwatch-profile-") as folder:
            program = ("-m", "benchmarks.load.profiled", folder)
            row = measured(name, workload, args.seconds, args.warmup, program)
            print(f"{table([row])}\n\n{profiled.report(Path(folder), PROFILED_ENTRIES)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=WRITING, default=list(WRITING))
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, for each line")
    parser.add_argument("--warmup", type=float, default=3.0, help="seconds before that")
    parser.add_argument(
        "--profile", action="store_true", help="run the service under a profiler, show its report"
    )
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
