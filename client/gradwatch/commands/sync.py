"""``gradwatch sync``: sends what waits on disk: after an outage, a kill, or offline."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gradwatch import spooled
from gradwatch.books import Tally
from gradwatch.commands import Context
from gradwatch.config import Config
from gradwatch.delivery import Delivery, Link
from gradwatch.errors import BadConfig
from gradwatch.notices import Notices
from gradwatch.pause import Pause
from gradwatch.retry import TRIES
from gradwatch.spool import dead, folder
from gradwatch.spool.lane import Lane
from gradwatch.spooled import Spooled
from gradwatch.terminal import complain, duration, size, write

PROGRESS_SECONDS = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what", nargs="*", metavar="RUN|PATH",
        help="the id of a run or how it begins, a file, or a folder (default: all that waits "
        "and that no living job works on)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="send nothing, show what waits")


def run(args: argparse.Namespace, context: Context) -> int:
    """Send what waits on disk: reports of offline jobs, of an outage, of jobs that were killed."""
    config = context.config
    found, damaged = spooled.read(_chosen(config.spool, args.what))
    for path in damaged:
        complain(f"{path} is no spool of Gradwatch, or cannot be read")
    if not found and not damaged:
        write(f"nothing waits in {config.spool}")
    is_named = bool(args.what)
    syncing = _Sync(context, is_named=is_named, is_dry=args.dry_run, failed=bool(damaged))
    for item in spooled.in_order(found):
        syncing.take(item)
        if syncing.is_away:
            complain(f"no answer from {config.url}: nothing is lost, try again later")
            break
    return 1 if syncing.is_away or syncing.failed else 0


def _chosen(spool: Path, names: Sequence[str]) -> list[Path]:
    """What is to be sent.

    Raises:
        BadConfig: there is nothing of that name.
    """
    if not names:
        return folder.files(spool)
    return list(dict.fromkeys(path for name in names for path in _named(spool, name)))


def _named(spool: Path, name: str) -> list[Path]:
    if Path(name).is_file():
        return [Path(name)]
    found = folder.files(Path(name))
    if not found and name:
        found = [path for path in folder.files(spool) if path.parent.name.startswith(name)]
    if not found:
        raise BadConfig(
            f"nothing waits under {name!r}: `gradwatch sync --dry-run` lists what does, in {spool}"
        )
    return found


@dataclass
class _Sync:
    """Sends one file after the other; ``failed``: something was refused or damaged."""

    context: Context
    is_named: bool
    is_dry: bool
    failed: bool = False
    is_away: bool = False

    @property
    def config(self) -> Config:
        """The settings."""
        return self.context.config

    def take(self, item: Spooled) -> None:
        """Say what there is, send it, and say what became of it."""
        write(f"{item.name}: {item.records:,} reports ({size(item.bytes)}), "
              f"written {duration(item.age_seconds)} ago")  # fmt: skip
        if not self.is_named and (reason := self._reason_to_leave(item)):
            write(f"    left: {reason}")
        elif self.is_dry:
            write(f"    would be sent to {self.config.url}")
        else:
            self._send(item)

    def _reason_to_leave(self, item: Spooled) -> str:
        if item.is_being_written:
            return f"its job may go on; `gradwatch sync {item.path}` sends it all the same"
        url = item.origin.url
        if url not in ("", self.config.url):
            return f"it is meant for {url}; set GRADWATCH_URL to that, or name the run"
        return ""

    def _send(self, item: Spooled) -> None:
        tally, notices = Tally(), Notices(is_quiet=True)
        with self._opened(item, notices) as lane:
            link = Link(self.config, self.context.transport, notices)
            delivery = Delivery(lane, link, tally, met=lane.met)
            is_through = self._deliver(delivery, link, tally, item.records)
            is_kept = not (is_through and lane.path is not None and lane.discard())
        self._report(tally, notices.newest, is_through=is_through, is_kept=is_kept)

    @contextmanager
    def _opened(self, item: Spooled, notices: Notices) -> Iterator[Lane]:
        """The lane in a file: the file itself, or a view of it while its job goes on."""
        mine = None if item.is_being_written else folder.claim(item.path)
        journal = None if mine is None else folder.open_claimed(mine)
        if journal is not None:
            lane = Lane(item.origin, self.config, notices, journal=journal)
            try:
                yield lane
            finally:
                lane.leave()
        else:
            with folder.looked_at(item.path) as view:
                yield Lane(item.origin, self.config, notices, journal=view)

    def _deliver(self, delivery: Delivery, link: Link, tally: Tally, records: int) -> bool:
        """Send everything; False if the service is away or a person has to act first."""
        shown_at = time.monotonic()
        while (pause := delivery.turn()) is not None:
            if link.backoff.is_held:
                return False
            if link.backoff.failures >= TRIES:
                self.is_away = True
                return False
            _wait(pause)
            if time.monotonic() - shown_at >= PROGRESS_SECONDS:
                shown_at = time.monotonic()
                complain(f"{tally.stored + tally.rejected:,} of {records:,}")
        return True

    def _report(self, tally: Tally, said: str, *, is_through: bool, is_kept: bool) -> None:
        kept = "; the file stays, as its job may go on" if is_through and is_kept else ""
        write(f"    {tally.stored:,} stored{kept}")
        if tally.rejected:
            place = self.config.spool / dead.FOLDER
            write(f"    {tally.rejected:,} refused: {said}; they are kept in {place}")
        elif not is_through and not self.is_away:
            write(f"    left: {said}")
        self.failed = self.failed or tally.rejected > 0 or not is_through


def _wait(pause: Pause) -> None:
    if pause.seconds:
        threading.Event().wait(pause.seconds)
