"""``gradwatch keys``: whoever has the command line and the database makes the first keys."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection, Engine

from gradwatch_service.errors import Invalid
from gradwatch_service.settings import Settings
from gradwatch_service.store import keys
from gradwatch_service.store.audit import COMMAND_LINE
from gradwatch_service.store.database import for_writing, make_engine
from gradwatch_service.store.database_time import database_now
from gradwatch_service.store.keys import Admin, Issued, Key, KeyRequest
from gradwatch_service.store.wording import check_name

SCOPES = ("ingest", "read", "admin")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
COLUMNS = "{:<10}  {:<16}  {:<20}  {:<12}  {:<7}  {:<20}  {}"
NEVER = "never"
HOW_TO_BEGIN = """\
No key exists yet, so nobody gets in. Make the first, on this machine:
  gradwatch keys create --project NAME --scope admin"""

Act = Callable[[Connection, argparse.Namespace], Iterator[str]]


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Declare create, list, revoke and rotate; each takes the address of the database, too."""
    added = parser.add_subparsers(metavar="COMMAND", required=True)
    create = _command(added, "create", _create, "make a key; it is shown this once")
    create.add_argument("--project", type=_name, required=True, help="made if it is new")
    create.add_argument("--name", type=_name, help="for people (default: the scopes)")
    create.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        choices=SCOPES,
        required=True,
        help="ingest: report; read: look; admin: both, and keys and channels. May be repeated",
    )
    create.add_argument(
        "--expires", type=_end, default="90d", help="such as 12h, 90d or never (default 90d)"
    )
    listing = _command(added, "list", _list, "list keys")
    listing.add_argument("--project", type=_name, help="of this project only")
    revoke = _command(added, "revoke", _revoke, "end a key at once")
    revoke.add_argument("key_id", help="the part between the underscores")
    rotate = _command(added, "rotate", _rotate, "make a key like one that is to be replaced")
    rotate.add_argument("key_id", help="the part between the underscores")
    rotate.add_argument(
        "--grace", type=_span, default="24h", help="how long the old one is good (default 24h)"
    )


def run(engine: Engine, arguments: argparse.Namespace) -> list[str]:
    """Do what was asked for in one transaction; returns what to say.

    Raises:
        ServiceError: there is no such key, or the database does not answer.
    """
    act: Act = arguments.act
    with for_writing(engine).begin() as connection:
        return list(act(connection, arguments))


def remarks(settings: Settings) -> Iterator[str]:
    """What to say at the start, where everybody is kept out, or nobody."""
    if not settings.needs_key:
        if not settings.is_loopback:
            yield "Everybody who reaches this address may read and write: no key is asked for."
        return
    engine = make_engine(settings.database_url)
    with engine.connect() as connection:
        has_key = keys.are_any(connection, database_now(connection))
    engine.dispose()
    if not has_key:
        yield HOW_TO_BEGIN


def _command(
    added: argparse._SubParsersAction[argparse.ArgumentParser], name: str, act: Act, summary: str
) -> argparse.ArgumentParser:
    parser = added.add_parser(name, help=summary, description=summary)
    parser.add_argument("--database-url", default=argparse.SUPPRESS, help="as of `gradwatch serve`")
    parser.set_defaults(act=act)
    return parser


def _create(connection: Connection, arguments: argparse.Namespace) -> Iterator[str]:
    admin = _admin(connection)
    lifetime: dt.timedelta | None = arguments.expires
    request = KeyRequest(
        arguments.project,
        arguments.name or " ".join(sorted(set(arguments.scopes))),
        arguments.scopes,
        None if lifetime is None else admin.now + lifetime,
    )
    yield from _shown(keys.create(connection, request, admin))


def _list(connection: Connection, arguments: argparse.Namespace) -> Iterator[str]:
    now = database_now(connection)
    yield COLUMNS.format("KEY", "PROJECT", "NAME", "SCOPES", "STATE", "EXPIRES", "LAST USED")
    for key in keys.of_project(connection, arguments.project):
        yield _row(key, now)


def _revoke(connection: Connection, arguments: argparse.Namespace) -> Iterator[str]:
    key = keys.revoke(connection, arguments.key_id, _admin(connection))
    yield f"{key.key_id} ({key.name}, {key.project}) is revoked; servers notice within 5 s"


def _rotate(connection: Connection, arguments: argparse.Namespace) -> Iterator[str]:
    grace: dt.timedelta = arguments.grace
    admin = _admin(connection)
    yield from _shown(keys.rotate(connection, arguments.key_id, grace, admin))
    yield f"{arguments.key_id} ends in {grace}"


def _admin(connection: Connection) -> Admin:
    return Admin(COMMAND_LINE, None, database_now(connection))


def _shown(issued: Issued) -> Sequence[str]:
    key = issued.key
    return (
        issued.text,
        f"{key.key_id}: {' '.join(key.scopes)} of {key.project}, expires {_day(key.expires_at)}. "
        "It is not shown again; jobs find it in GRADWATCH_API_KEY",
    )


def _row(key: Key, now: dt.datetime) -> str:
    return COLUMNS.format(
        key.key_id,
        key.project,
        key.name,
        ",".join(key.scopes),
        key.state(now),
        _day(key.expires_at),
        _day(key.last_used_at),
    )


def _day(moment: dt.datetime | None) -> str:
    return NEVER if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _name(text: str) -> str:
    try:
        return check_name(text, "")
    except Invalid as error:
        raise argparse.ArgumentTypeError(error.detail) from error


def _end(text: str) -> dt.timedelta | None:
    return None if text == NEVER else _span(text)


def _span(text: str) -> dt.timedelta:
    found = re.fullmatch(r"([0-9]{1,4})([mhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError("write 30m, 12h or 90d")
    return dt.timedelta(**{UNITS[found[2]]: int(found[1])})
