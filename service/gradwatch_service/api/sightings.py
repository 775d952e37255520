"""What has changed, and who has to be told of it when: looks at the database, compared."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gradwatch_service.store.pulse import Key, Look, Sight

# What goes on is told so seldom, and so many at once; news is told at once.
QUIET_SECONDS: Final = 1.0
QUIET_AT_ONCE: Final = 250
# What is neither running nor open is looked at for so long after its last change.
REMEMBERED: Final = dt.timedelta(minutes=10)
# Clocks of processes on one database differ by less; told twice is told.
MARGIN_MS: Final = 2_000
CAUGHT_UP_MOST: Final = 500


def cursor_of(moment: dt.datetime) -> int:
    """The id of events: the database's time in milliseconds."""
    return int(moment.timestamp() * 1_000)


@dataclass(slots=True)
class Seen:
    """One run or alert; ``sight`` None: it is to be looked at."""

    sight: Sight | None
    born: int  # when it was first seen
    changed: int = 0
    waits_since: int | None = None  # for that to be told: when it may have changed at the earliest
    told: int = 0
    is_news: bool = False

    def changes(self, at: int, since: int, *, is_news: bool) -> None:
        """Note that it has changed, ``since`` the look before."""
        self.changed = at
        self.is_news |= is_news
        if self.waits_since is None:
            self.waits_since = since

    def is_told(self, at: int) -> None:
        """Note that whoever listens has been told."""
        self.told, self.waits_since, self.is_news = at, None, False


class Sightings:
    """All that this process has seen lately; times are ids of events."""

    def __init__(self) -> None:
        self._known: dict[Key, Seen] = {}
        self._muted: Mapping[str, frozenset[uuid.UUID]] = {}
        self._since: int | None = None  # from then on nothing was missed
        self._looked: dt.datetime | None = None
        self._deleted: dict[str, int] = {}

    @property
    def keys(self) -> list[Key]:
        """What the next look must not miss."""
        return list(self._known)

    @property
    def is_anew(self) -> bool:
        """Whether the next look begins anew: what was before is not known."""
        return self._since is None

    def begin(self, now: dt.datetime) -> dt.datetime:
        """Since when to look; after too long without a look, all begins anew."""
        if self._looked is None or now - self._looked > REMEMBERED:
            self._known.clear()
            self._since, self._looked = None, now
        return self._looked

    def sight(self, key: Key) -> Sight | None:
        """What was seen of it last."""
        seen = self._known.get(key)
        return None if seen is None else seen.sight

    def note(self, look: Look, began: dt.datetime, ended: dt.datetime) -> set[str]:
        """Compare with the look before; returns projects in which something was deleted."""
        is_first, at = self._since is None, cursor_of(ended)
        since = cursor_of(self._looked or began)
        for key, sight in look.sights.items():
            self._compare(key, sight, at, since, is_first=is_first)
        if not is_first:
            self._compare_muted(look, at, since)
        gone = self._forget(look, at)
        self._deleted |= dict.fromkeys(gone, at)
        self._muted, self._looked = look.muted, began
        if is_first:
            self._since = cursor_of(began)
        return gone

    def due(self, began: dt.datetime) -> list[Key]:
        """What is to be told now, news first."""
        long_ago = cursor_of(began) - 1_000 * QUIET_SECONDS
        news, quiet = [], []
        for key, seen in self._known.items():
            if seen.waits_since is None:
                continue
            if seen.is_news:
                news.append(key)
            elif seen.told <= long_ago:
                quiet.append((seen.told, key))
        quiet.sort()
        return news + [key for _, key in quiet[:QUIET_AT_ONCE]]

    def told(self, keys: Iterable[Key], began: dt.datetime) -> int:
        """Note that these have been told; whoever has heard all that has the id returned."""
        now = cursor_of(began)
        for key in keys:
            self._known[key].is_told(now)
        waiting = (seen.waits_since for seen in self._known.values())
        return min((since for since in waiting if since is not None), default=now)

    def changed_since(
        self, cursor: int | None, project: str | None, wants: Callable[[Sight | None], bool]
    ) -> list[Key] | None:
        """What changed after a cursor of what somebody wants.

        None: that is not known, or not to be said in few words.
        """
        if cursor is None:
            return []
        if self._since is None or self._looked is None:
            return None
        oldest = max(self._since, cursor_of(self._looked - REMEMBERED) + 2 * MARGIN_MS)
        newest = cursor_of(self._looked) + MARGIN_MS  # what is beyond is no id of ours
        if not oldest <= cursor <= newest:
            return None
        after = cursor - MARGIN_MS
        deleted = (at for name, at in self._deleted.items() if project in {None, name})
        if any(at > after for at in deleted):
            return None
        found = [
            key for key, seen in self._known.items() if seen.changed > after and wants(seen.sight)
        ]
        return found if len(found) <= CAUGHT_UP_MOST else None

    def _compare(self, key: Key, sight: Sight, at: int, since: int, *, is_first: bool) -> None:
        seen = self._known.get(key)
        if seen is None:
            seen = self._known[key] = Seen(sight if is_first else None, at)
        before, seen.sight = seen.sight, sight
        if before is None or before.news != sight.news:
            seen.changes(at, since, is_news=True)
            if key[0] == "alert":  # its run counts it, and may be over
                self._known.setdefault(("run", sight.run_id), Seen(None, at))
        elif before.moved != sight.moved:
            seen.changes(at, since, is_news=False)

    def _compare_muted(self, look: Look, at: int, since: int) -> None:
        """A silence that begins or ends concerns all open alerts of its project."""
        projects = {
            name
            for name in {*self._muted, *look.muted}
            if self._muted.get(name) != look.muted.get(name)
        }
        for (kind, _), seen in self._known.items() if projects else ():
            sight = seen.sight
            if kind == "alert" and sight is not None and sight.project in projects:
                seen.changes(at, since, is_news=False)

    def _forget(self, look: Look, at: int) -> set[str]:
        """Drop what is over and done, and what is gone: returns the projects of that."""
        before = at - REMEMBERED // dt.timedelta(milliseconds=1)
        gone: set[str] = set()
        for key, seen in list(self._known.items()):
            if key in look.sights:
                is_past = max(seen.born, seen.changed) < before and not look.sights[key].is_lively
            else:
                is_past = seen.born < at  # what was born now is yet to be looked at
                gone |= {seen.sight.project} if seen.sight is not None else set()
            if is_past:
                del self._known[key]
        return gone
