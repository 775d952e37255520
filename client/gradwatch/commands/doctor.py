"""``gradwatch doctor``: checks all between this machine and the service, and says what to do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Literal

from gradwatch import clock, spooled
from gradwatch.commands import Context
from gradwatch.errors import Unreachable
from gradwatch.spool import folder
from gradwatch.terminal import duration, size, write, write_json
from gradwatch.transport import API, Answer, Transport, client_version

MAX_SKEW_SECONDS = 60.0

REQUIRED = ("httpx", "msgpack", "numpy")
OPTIONAL = {"torch": "run.watch()", "fastapi": "gradwatch serve"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    status: Literal["ok", "warn", "fail"]
    name: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace, context: Context) -> int:
    """Check settings, service, key, clock and packages; exit code 1 if something fails."""
    failed = False
    checks = (_settings(context), _spool(context), _service(context), _packages())
    for check in chain.from_iterable(checks):
        failed = failed or check.status == "fail"
        if args.json:
            write_json({"status": check.status, "name": check.name, "text": check.text})
        else:
            write(f"{check.status:<4}  {check.name:<9}  {check.text}")
    return 1 if failed else 0


def _settings(context: Context) -> Iterator[Check]:
    config = context.config
    yield Check("ok", "address", config.url)
    if config.mode == "online":
        yield Check("ok", "mode", "online")
    elif config.mode == "disabled":
        yield Check("warn", "mode", "disabled: jobs report nothing; unset GRADWATCH_MODE to report")
    else:
        yield Check("warn", "mode", "offline: reports go to disk, until you run `gradwatch sync`")


def _spool(context: Context) -> Iterator[Check]:
    spool = context.config.spool
    found, _ = spooled.read(folder.files(spool))
    left = [item for item in found if not item.is_being_written]
    if left:
        total = size(sum(item.bytes for item in left))
        waits = f"{sum(item.records for item in left):,} reports ({total}) wait in {spool}"
        yield Check("warn", "spool", f"{waits}: `gradwatch sync` sends them")
    elif _is_usable(spool):
        yield Check("ok", "spool", f"nothing is left in {spool}")
    else:
        remedy = "an outage may lose reports: set GRADWATCH_SPOOL to a folder that can"
        yield Check("warn", "spool", f"{spool} cannot be written; {remedy}")


def _is_usable(spool: Path) -> bool:
    """Whether the spool can be written, or made."""
    there = next((place for place in (spool, *spool.parents) if place.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _service(context: Context) -> Iterator[Check]:
    http = context.transport
    try:
        health = http.get("/healthz")
        if health.status != 200 or not health.body:
            remedy = "point GRADWATCH_URL at the service"
            yield Check("fail", "health", f"something else answers ({health.status}): {remedy}")
            return
        yield Check("ok", "health", "the service answers")
        yield _readiness(http.get("/readyz"))
        yield _version(http)
        yield _key(context, http.get(f"{API}/runs", limit=1))
        yield _clock(health)
    except Unreachable as error:
        remedy = "start it with `gradwatch serve`, or set GRADWATCH_URL"
        yield Check("fail", "health", f"no answer ({error}): {remedy}")


def _readiness(answer: Answer) -> Check:
    if answer.status == 200:
        return Check("ok", "ready", "database and writer work")
    checks = answer.body.get("checks")
    found = checks.items() if isinstance(checks, dict) else ()
    broken = "; ".join(f"{name}: {state}" for name, state in found if state != "ok")
    return Check("fail", "ready", f"not ready ({broken or answer.status}): see the service's log")


def _version(http: Transport) -> Check:
    info = http.get("/openapi.json").body.get("info")
    theirs, ours = info.get("version") if isinstance(info, dict) else None, client_version()
    if theirs == ours:
        return Check("ok", "version", f"{ours}, the same on both sides")
    return Check(
        "warn", "version", f"client {ours}, service {theirs or 'unknown'}: update the older"
    )


def _key(context: Context, answer: Answer) -> Check:
    is_given = context.config.api_key is not None
    if answer.status == 200:
        return Check("ok", "key", "the key is accepted" if is_given else "none is needed")
    if answer.status == 401:
        why = f"the key is not accepted ({answer.detail})" if is_given else "one is needed"
        return Check("fail", "key", f"{why}: set GRADWATCH_API_KEY")
    if answer.status == 403:
        return Check("warn", "key", "the key may report, but not read")
    return Check("fail", "key", f"reading runs failed with {answer.status}: {answer.detail}")


def _clock(answer: Answer) -> Check:
    if answer.server_time is None:
        return Check("warn", "clock", "the service did not say what time it has")
    skew = clock.now() - answer.server_time
    if abs(skew) <= MAX_SKEW_SECONDS:
        return Check("ok", "clock", "agrees with the service")
    side = "ahead of" if skew > 0 else "behind"
    return Check("warn", "clock", f"{duration(abs(skew))} {side} the service: set it by NTP")


def _packages() -> Iterator[Check]:
    for name in REQUIRED:
        found = _installed(name)
        remedy = "missing: pip install gradwatch"
        yield Check("ok" if found else "fail", "package", f"{name} {found or remedy}")
    for name, purpose in OPTIONAL.items():
        yield Check(
            "ok", "package", f"{name} {_installed(name) or f'not here, only {purpose} needs it'}"
        )


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
