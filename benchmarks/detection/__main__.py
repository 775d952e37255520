"""``python -m benchmarks.detection``: record, judge, and look into single runs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from benchmarks.detection import look, page, table
from benchmarks.detection.entry import enter_all, judge_all
from benchmarks.detection.recording import FRESH, SPLITS
from gradwatch_service.domain import Severity

RECORD = "benchmarks.detection.record"  # needs PyTorch, judging does not


def main(argv: Sequence[str]) -> None:
    if argv[:1] == ["record"]:
        importlib.import_module(RECORD).main(argv[1:])
        return
    args = _parser().parse_args(argv)
    if args.command == "show":
        look.show(args.patterns, args.rows)
    elif args.command == "false-alarms":
        look.false_alarms(
            judge_all(look.paths(args.splits, args.only)), least=Severity[args.least.upper()]
        )
    elif args.command == "misses":
        look.misses(judge_all(look.paths(args.splits, args.only)))
    elif args.command == "judge":
        if args.ours:
            found = judge_all(look.paths((args.split,), args.only))
        else:
            found = enter_all(look.paths(dict.fromkeys((*SPLITS, args.split)), args.only))
        page.write(table.tables(list(found), args.split))
    else:
        importlib.import_module(RECORD).main(["--quick"] if args.quick else [])
        page.write(table.tables(list(enter_all(look.paths(SPLITS, "")))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection",
        description="Without a command: record what is not up to date, judge it, print the tables.",
    )
    parser.add_argument("--quick", action="store_true", help="record one run in ten")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("record", help="train and record; --help tells more", add_help=False)
    show = commands.add_parser("show", help="label and time line of single runs")
    show.add_argument("patterns", nargs="+", help="a file, or part of a recording's name")
    show.add_argument("--rows", metavar="FROM:TO", help="print these steps' numbers, too")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("--only", default="", help="part of the recordings' names")
    judge = commands.add_parser("judge", parents=[some], help="print the tables")
    judge.add_argument("--split", choices=(*SPLITS, FRESH), default="test", help="whose figures")
    judge.add_argument("--ours", action="store_true", help="leave the baselines out: much faster")
    alarms = commands.add_parser("false-alarms", parents=[some], help="alerts before any fault")
    alarms.add_argument("--least", choices=[x.label for x in Severity], default="info")
    misses = commands.add_parser("misses", parents=[some], help="faults missed or misnamed")
    for one in (alarms, misses):
        one.add_argument("--splits", "--split", type=_splits, default=("tuning",), metavar="SPLIT")
    return parser


def _splits(word: str) -> tuple[str, ...]:
    return (*SPLITS, FRESH) if word == "all" else (word,)


if __name__ == "__main__":
    main(sys.argv[1:])
