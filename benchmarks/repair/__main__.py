"""``python -m benchmarks.repair``: run all trials and print the tables, or tell one run's story."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.detection.page import markdown
from benchmarks.repair import plan, story, table
from benchmarks.repair.course import Help, train
from benchmarks.repair.plan import Plan
from benchmarks.repair.trial import Trial, be_quiet, trial
from gradwatch_service.demo.server import serving

FOLDER = Path("build")
PROCESSES = 2
FAULTY_LEVELS, HEALTHY_LEVELS = (2, 3), (1, 2, 3)


def main(argv: Sequence[str]) -> None:
    args = _parser().parse_args(argv)
    if args.command == "show":
        _show(plan.find(args.run, args.seed), args.level)
        return
    wanted = plan.quick_plans() if args.quick else plan.plans()
    trials = list(perform([one for one in wanted if args.only in one.name]))
    write(sorted(trials, key=lambda one: (one.name, one.seed)))


def perform(wanted: Sequence[Plan]) -> Iterator[Trial]:
    """All trials as they end, in two processes and with two services."""
    context = multiprocessing.get_context("spawn")
    with _services(PROCESSES) as urls, ProcessPoolExecutor(PROCESSES, context, be_quiet) as pool:
        running = [
            pool.submit(
                trial, one, urls[place % PROCESSES], FAULTY_LEVELS if one.case else HEALTHY_LEVELS
            )
            for place, one in enumerate(wanted)
        ]
        for done, future in enumerate(as_completed(running), 1):
            found = future.result()
            print(f"{done}/{len(running)} {found.name} {found.seed}", file=sys.stderr)
            yield found


def write(trials: Sequence[Trial]) -> None:
    """Print the tables; leave them in ``repair.md``, and every run in ``repair.json``."""
    text = markdown(table.tables(trials))
    print(text)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "repair.md").write_text(text)
    (FOLDER / "repair.json").write_text(json.dumps([asdict(one) for one in trials], indent=1))


def _show(wanted: Plan, level: int) -> None:
    be_quiet()
    with _services(1) as (url,):
        alone, helped = train(wanted.setting), train(wanted.setting, Help(url, level))
    print(f"{wanted.name} {wanted.seed} at level {level}: {wanted.setting.fault}")
    print(f"from step {wanted.setting.start} of {wanted.setting.steps}")
    print("\n".join(story.story(alone, helped)))


@contextmanager
def _services(count: int) -> Iterator[list[str]]:
    """The addresses of real services, each with a database of its own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = [f"sqlite:///{folder}/{number}.db" for number in range(count)]
        yield [stack.enter_context(serving(file)) for file in files]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repair", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a handful of runs")
    parser.add_argument("--only", default="", help="part of the runs' names")
    commands = parser.add_subparsers(dest="command")
    show = commands.add_parser("show", help="what happened in one run, step by step")
    show.add_argument("run", help="TASK/FAULT, or the TASK of a healthy run")
    show.add_argument("seed", type=int)
    show.add_argument("level", type=int)
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
