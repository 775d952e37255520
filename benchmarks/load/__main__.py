"""``python -m benchmarks.load``: the workloads on our service and on its peers, in one table."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.load import curves, growth, ours
from benchmarks.load.databases import DATABASES
from benchmarks.load.jobs import Jobs
from benchmarks.load.overhead import apart
from benchmarks.load.peer import Peer, all_peers
from benchmarks.load.reading import ReadRow, our_rows, read_table
from benchmarks.load.table import Row, table
from benchmarks.load.writing import WRITING, Workload

READING, OVERHEAD, GROWTH = "w3", "w4", "growth"
WORKLOADS = (*WRITING, READING, OVERHEAD, GROWTH)
FOLDER = Path("build")

T = TypeVar("T")


def main(argv: Sequence[str]) -> None:
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is stopped
    for name in args.workload:
        print(_measured(name, args), end="\n\n", flush=True)


def _measured(name: str, args: argparse.Namespace) -> str:
    if name == READING:
        return read_table(list(_told(_read_rows(args), read_table)))
    if name == OVERHEAD:
        return "\n".join(_told(apart.lines(args.device, peers=args.peers), "\n".join))
    if name == GROWTH:
        return "\n".join(_growth(database, args.seconds) for database in _databases(args))
    if args.profile:
        return "\n".join(_profiles(WRITING[name], args))
    return table(list(_told(_rows(WRITING[name], args), table)))


def _growth(database: str, seconds: float) -> str:
    _say(f"growth on {database}")
    points = list(_told(growth.points(database, seconds), curves.growth_table))
    picture = FOLDER / f"growth-{database}.svg"
    curves.draw(points, picture)
    return f"{database}, drawn in {picture}\n{curves.growth_table(points)}"


def _profiles(workload: Workload, args: argparse.Namespace) -> Iterator[str]:
    for database in _databases(args):
        yield ours.profile(database, workload, args.seconds, args.warmup)


def _rows(workload: Workload, args: argparse.Namespace) -> Iterator[Row]:
    for database in _databases(args):
        _say(f"{workload.name} on {database}")
        yield ours.row(database, workload, args.seconds, args.warmup, args.settle)
    for one in _peers(args):
        _say(f"{workload.name} on {one.name}")
        yield from one.rows(workload, args.seconds, args.warmup)


def _read_rows(args: argparse.Namespace) -> Iterator[ReadRow]:
    for database in _databases(args):
        _say(f"W3 on {database}")
        yield from our_rows(database, args.settle)
    for one in _peers(args):
        _say(f"W3 on {one.name}")
        yield from one.read_rows()


def _peers(args: argparse.Namespace) -> Iterator[Peer | Jobs]:
    for one in all_peers() if args.peers else []:
        if reason := one.missing():
            _say(f"{one.name}: skipped ({reason})")
        else:
            yield one


def _databases(args: argparse.Namespace) -> list[str]:
    return list(DATABASES) if args.database == "both" else [args.database]


def _told(rows: Iterator[T], render: Callable[[Sequence[T]], str]) -> Iterator[T]:
    """Say each line as soon as it is known: an interrupted run has told what it measured."""
    for row in rows:
        _say(render([row]))
        yield row


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, for each line")
    parser.add_argument("--warmup", type=float, default=3.0, help="seconds before that")
    parser.add_argument(
        "--settle", type=float, default=12.0, help="seconds to compact before bytes are counted"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="of W4; a GPU if there is one")
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="leave out what we compare with"
    )
    parser.add_argument(
        "--profile", action="store_true", help="run the service under a profiler, show its report"
    )
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
