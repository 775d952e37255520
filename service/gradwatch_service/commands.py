"""The service side of the command line: ``gradwatch serve``, ``worker``, ``backup``, …."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import cast

import uvicorn
from fastapi import FastAPI
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from gradwatch_service import app, key_commands
from gradwatch_service.api.connection import Connection
from gradwatch_service.app import backend, create_app
from gradwatch_service.backtest import changes_of, table
from gradwatch_service.errors import ServiceError
from gradwatch_service.ingest.backtest import Bench, Trial
from gradwatch_service.meters import FOLDER
from gradwatch_service.settings import Settings
from gradwatch_service.store.backup import BackupError
from gradwatch_service.store.backup import backup as copy_database
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.migration import migrate as migrate_database

DONE, FAILED, REFUSED = 0, 1, 2
BACKLOG = 2_048
# What the kernel may hold of an answer: it would take 4 MiB, and tell nothing of a slow caller.
UNSENT_BYTES = 2**17
KEEP_ALIVE_SECONDS = 65
GRACE_SECONDS = 10
HUNG_SECONDS = 30  # also what importing may take
OBJECTS_BEFORE_COLLECTION = 20_000
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def serve(argv: Sequence[str]) -> int:
    """Run the service until it is told to stop."""
    parser = _parser("serve", "Run the service: API, detection and the embedded worker.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8321)")
    parser.add_argument("--workers", type=int, help="server processes, on PostgreSQL (default 1)")
    settings = _settings(parser, argv)
    if settings.workers > 1 and not settings.may_share:
        return _refuse(
            f"to run {settings.workers} workers on SQLite: one process writes there.\n"
            "Use PostgreSQL (--database-url postgresql+psycopg://…), or one worker."
        )
    try:
        listener = _listen(settings)
    except OSError as error:
        return _fail(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    with listener:
        if not _is_migrated(settings):
            return FAILED
        _announce(settings, listener)
        for remark in key_commands.remarks(settings):
            _tell(remark)
        run = _run if settings.workers == 1 else _supervise
        return run(settings, listener)


def worker(argv: Sequence[str]) -> int:
    """Run the worker on its own, beside servers with GRADWATCH_EMBEDDED_WORKER=false."""
    settings = _settings(_parser("worker", "Run the periodic work on its own."), argv)
    if not _is_migrated(settings):
        return FAILED
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _tell(f"Gradwatch worker, data in {_database(settings)}")
    with backend(settings) as opened, app.worker(opened):
        stop.wait()
    return DONE


def migrate(argv: Sequence[str]) -> int:
    """Bring the database to the newest schema; `serve` does so by itself."""
    settings = _settings(_parser("migrate", "Bring the database to the newest schema."), argv)
    if not _is_migrated(settings):
        return FAILED
    _tell(f"{_database(settings)} has the newest schema")
    return DONE


def backup(argv: Sequence[str]) -> int:
    """Copy the database to a file while the service runs."""
    parser = _parser("backup", "Copy the database to a new file, while the service runs.")
    parser.add_argument("file", type=Path, help="where to; it must not exist yet")
    target: Path = parser.parse_args(argv).file
    settings = _settings(parser, argv)
    try:
        copy_database(settings.database_url, target)
    except (BackupError, ArgumentError) as error:
        return _fail(str(error))
    _tell(f"{target} is a copy of {_database(settings)}")
    return DONE


def keys(argv: Sequence[str]) -> int:
    """Make, list, revoke and rotate keys."""
    parser = _parser("keys", "Make, list, revoke and rotate the keys of projects.")
    key_commands.add_commands(parser)
    settings = _settings(parser, argv)
    if not _is_migrated(settings):
        return FAILED
    engine = make_engine(settings.database_url)
    try:
        _tell("\n".join(key_commands.run(engine, parser.parse_args(argv))))
    except ServiceError as error:
        return _fail(error.detail)
    finally:
        engine.dispose()
    return DONE


def backtest(argv: Sequence[str]) -> int:
    """Try other settings of the rules on stored runs: what would have alerted?"""
    parser = _parser("backtest", "Try other settings of the rules on stored runs.")
    parser.add_argument("--project", required=True, help="whose runs")
    parser.add_argument("--runs", type=int, default=50, help="the newest so many (default 50)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="RULE.SETTING=VALUE",
        help="such as gradient-spike.threshold=7 or loss-plateau.enabled=off; more than once",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=600.0, help="to take at most (600)")
    asked, settings = parser.parse_args(argv), _settings(parser, argv)
    if not _is_migrated(settings):
        return FAILED
    engine = make_engine(settings.database_url)
    try:
        changes = changes_of(asked.set)
        limits = {"seconds": asked.seconds, "reports": sys.maxsize}
        _tell(table(Bench(engine).run(Trial(asked.project, changes, asked.runs, **limits))))
    except ServiceError as error:
        return _fail(error.detail)
    finally:
        engine.dispose()
    return DONE


def demo(argv: Sequence[str]) -> int:
    """Run the demo: one training job explodes, the same one with help survives."""
    main = importlib.import_module("gradwatch_service.demo").main
    return int(main(argv))


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"gradwatch {command}", description=description)
    parser.add_argument(
        "--database-url", help="sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    )
    return parser


def _settings(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Settings:
    flags = vars(parser.parse_args(argv))
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    return Settings(**{name: value for name, value in flags.items() if value is not None})


def _refuse(what: str) -> int:
    _fail(f"refusing {what}")
    return REFUSED


def _is_migrated(settings: Settings) -> bool:
    """Bring the schema up to date before anything is announced; say so if that fails."""
    try:
        engine = make_engine(settings.database_url)
        migrate_database(engine)
        engine.dispose()
    except ServiceError as error:
        reason = str(getattr(error.__cause__, "orig", error.detail)).partition("\n")[0]
        _fail(f"cannot use {_database(settings)}: {reason}")
    except (ValueError, ArgumentError) as error:
        _fail(f"cannot use the database address: {error}")
    else:
        return True
    return False


def _listen(settings: Settings) -> socket.socket:
    """Bind before anything else, so that a busy port is found at once and callers can queue."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    address = (settings.host, settings.port)
    listener = socket.create_server(address, family=family, backlog=BACKLOG)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)  # its connections too
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # of who is gone without a word, nothing is heard
        seconds = settings.answer_deadline_seconds
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1_000 * seconds))
    return listener


def _announce(settings: Settings, listener: socket.socket) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    _tell(f"Gradwatch on {url}, data in {_database(settings)}, API at {url}/docs")


def _run(settings: Settings, listener: socket.socket) -> int:
    server = uvicorn.Server(_config(partial(create_app, settings), settings))
    _spare_the_collector()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again at its end
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return DONE if server.started else FAILED


def _supervise(settings: Settings, listener: socket.socket) -> int:
    """Servers in processes of their own, replaced when they die; the periodic work is done here."""
    of_server = settings.model_copy(update={"embedded_worker": False})
    with tempfile.TemporaryDirectory(prefix="gradwatch-") as folder:
        os.environ[FOLDER] = folder  # noqa: TID251 - the servers count into files there
        return _supervised(of_server, settings, listener)


def _supervised(of_server: Settings, settings: Settings, listener: socket.socket) -> int:
    supervisor = Multiprocess(_config(partial(_app_of_server, of_server), settings), [listener])
    with ExitStack() as stack:
        if settings.embedded_worker:
            stack.enter_context(app.worker(stack.enter_context(backend(settings))))
        supervisor.run()
    codes = [process.exitcode for process in supervisor.processes]
    return FAILED if STARTUP_FAILURE in codes else DONE


def _app_of_server(settings: Settings) -> FastAPI:
    """What one of several servers runs, in its own process."""
    logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    if not _is_migrated(settings):  # the database may be away: with this code we are started again
        sys.exit(FAILED)
    _spare_the_collector()
    return create_app(settings)


def _end_with_parent() -> None:
    """Nobody else would stop this process if the supervisor was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _config(make: Callable[[], FastAPI], settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        make,
        factory=True,
        http=cast(type[asyncio.Protocol], partial(Connection, settings=settings)),
        workers=settings.workers,
        access_log=False,
        proxy_headers=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_worker_healthcheck=HUNG_SECONDS,
        ws="none",
    )


def _spare_the_collector() -> None:
    """Do not go through all that was loaded, nor through what 200 requests in flight hold."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, *gc.get_threshold()[1:])


def _database(settings: Settings) -> str:
    return make_url(settings.database_url).render_as_string(hide_password=True)


def _fail(line: str) -> int:
    sys.stderr.write(f"gradwatch: {line}\n")
    return FAILED


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
