"""``python -m benchmarks.load.overhead``: what watching adds to a training step, all paired."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch

from benchmarks.load.overhead import memory, receiver, table
from benchmarks.load.overhead.blocks import measure, synchronisations
from benchmarks.load.overhead.jobs import SIZES, Sizes, job
from benchmarks.load.overhead.log_calls import CALLS, seconds_of_calls
from benchmarks.load.overhead.table import Row
from benchmarks.load.overhead.watchers import BARE, OURS, WATCHERS, Watcher

PROCESSES = 3


def main(argv: Sequence[str]) -> None:
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is stopped
    device = torch.device(args.device)
    torch.set_num_threads(1)
    watchers = [one for one in WATCHERS if _is_chosen(one, args)]
    with receiver.receiving(args.server) as url:
        print(_setting(device, args), table.HEAD, sep="\n", flush=True)
        for model in args.model or SIZES[device.type]:
            for row in rows(model, SIZES[device.type][model], watchers, url, args):
                print(table.line(row), flush=True)
        if args.client:
            print(table.log_line(seconds_of_calls(url, CALLS)), flush=True)
            print(table.memory_line(*(_resident(name, url) for name in (OURS, BARE))), flush=True)


def rows(
    model: str, sizes: Sizes, watchers: Sequence[Watcher], url: str, args: argparse.Namespace
) -> Iterator[Row]:
    """All watchers on one model, paired."""
    one = job(model, sizes, torch.device(args.device))
    with ExitStack() as stack:
        opened = {watcher.name: stack.enter_context(watcher.open(one, url)) for watcher in watchers}
        found = measure(one, opened, args.rounds, args.steps)
        waits = dict.fromkeys(opened, 0.0)
        if one.device.type == "cuda":
            waits = {name: synchronisations(one, watching) for name, watching in opened.items()}
    for watcher in watchers:
        added = waits[watcher.name] - waits[BARE] if one.device.type == "cuda" else None
        name, measures = watcher.name, watcher.measures
        yield Row(model, name, measures, found[name], found[BARE], added)


def _is_chosen(watcher: Watcher, args: argparse.Namespace) -> bool:
    if watcher.name == BARE:
        return True
    if watcher.name not in (args.watcher or [watcher.name]) or (watcher.is_peer and not args.peers):
        return False
    if watcher.is_missing:
        print(f"{watcher.name}: skipped (pip install {watcher.package})", file=sys.stderr)
    return not watcher.is_missing


def _resident(name: str, url: str) -> int:
    return int(statistics.median(memory.resident_bytes(name, url) for _ in range(PROCESSES)))


def _setting(device: torch.device, args: argparse.Namespace) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "one core"
    return (
        f"W4  {where}, torch {torch.__version__}, {args.rounds} rounds of {args.steps} steps each, "
        f"reports go to: {args.server}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.overhead", description=__doc__)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = sorted({name for sizes in SIZES.values() for name in sizes})
    parser.add_argument("--device", choices=list(SIZES), default=device)
    parser.add_argument("--model", nargs="+", choices=models, help="all of the device's, if none")
    parser.add_argument("--watcher", nargs="+", choices=[one.name for one in WATCHERS])
    parser.add_argument("--rounds", type=int, default=12, help="blocks of each watcher")
    parser.add_argument(
        "--steps", type=int, default=8, help="steps of a block; of eight one is measured in full"
    )
    parser.add_argument(
        "--server", choices=[receiver.SERVE, receiver.STAND_IN], default=receiver.best()
    )
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="leave out what we compare with"
    )
    parser.add_argument(
        "--no-client", dest="client", action="store_false", help="leave out log() and memory"
    )
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
