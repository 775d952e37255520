"""``python -m benchmarks.load``: the workloads on our service and on its peers, in one table."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence

from benchmarks.load import ours, peer
from benchmarks.load.databases import DATABASES
from benchmarks.load.table import Row, table
from benchmarks.load.writing import WRITING, Workload


def main(argv: Sequence[str]) -> None:
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is stopped
    for name in args.workload:
        if args.profile:
            _profile(WRITING[name], args)
        else:
            print(table(list(_rows(WRITING[name], args))), flush=True)


def _profile(workload: Workload, args: argparse.Namespace) -> None:
    for database in _databases(args):
        print(ours.profile(database, workload, args.seconds, args.warmup), flush=True)


def _rows(workload: Workload, args: argparse.Namespace) -> Iterator[Row]:
    for database in _databases(args):
        _say(f"{workload.name} on {database}")
        yield ours.row(database, workload, args.seconds, args.warmup, args.settle)
    for one in peer.all_peers() if args.peers else []:
        if reason := one.missing():
            _say(f"{one.name}: skipped ({reason})")
        else:
            _say(f"{workload.name} on {one.name}")
            yield from peer.rows(one, workload, args.seconds, args.warmup)


def _databases(args: argparse.Namespace) -> list[str]:
    return list(DATABASES) if args.database == "both" else [args.database]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=WRITING, default=list(WRITING))
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured, for each line")
    parser.add_argument("--warmup", type=float, default=3.0, help="seconds before that")
    parser.add_argument(
        "--settle", type=float, default=12.0, help="seconds to compact before bytes are counted"
    )
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="leave out what we compare with"
    )
    parser.add_argument(
        "--profile", action="store_true", help="run the service under a profiler, show its report"
    )
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
