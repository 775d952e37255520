"""The service side of the command line: ``gradwatch serve``, ``worker``, ``backup``, …."""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvicorn
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from gradwatch_service.app import backend, create_app
from gradwatch_service.errors import ServiceError
from gradwatch_service.settings import Settings
from gradwatch_service.store.backup import BackupError
from gradwatch_service.store.backup import backup as copy_database
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.migration import migrate as migrate_database
from gradwatch_service.worker import run_worker, tick

DONE, FAILED, REFUSED = 0, 1, 2
BACKLOG = 2_048
KEEP_ALIVE_SECONDS = 65
GRACE_SECONDS = 10
OBJECTS_BEFORE_COLLECTION = 20_000
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def serve(argv: Sequence[str]) -> int:
    """Run the service until it is told to stop."""
    parser = _parser("serve", "Run the service: API, detection and the embedded worker.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8321)")
    settings = _settings(parser, argv)
    if not settings.may_listen:
        return _refuse(settings)
    try:
        listener = _listen(settings)
    except OSError as error:
        return _fail(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    with listener:
        if not _is_migrated(settings):
            return FAILED
        _announce(settings, listener)
        return _run(settings, listener)


def worker(argv: Sequence[str]) -> int:
    """Run the worker on its own, beside servers with GRADWATCH_EMBEDDED_WORKER=false."""
    settings = _settings(_parser("worker", "Run the periodic work on its own."), argv)
    if not _is_migrated(settings):
        return FAILED
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    _tell(f"Gradwatch worker, data in {_database(settings)}")
    with backend(settings) as opened:
        run_worker(partial(tick, opened), settings.worker_tick_seconds, stop)
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


def _refuse(settings: Settings) -> int:
    _fail(
        f"refusing to listen on {settings.host}: everybody who reaches this machine "
        "could read and write without a key.\nListen on 127.0.0.1, or set "
        "GRADWATCH_ALLOW_UNAUTHENTICATED=true if the network around it is closed."
    )
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
    return socket.create_server(address, family=family, backlog=BACKLOG)


def _announce(settings: Settings, listener: socket.socket) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    _tell(f"Gradwatch on {url}, data in {_database(settings)}, API at {url}/docs")


def _run(settings: Settings, listener: socket.socket) -> int:
    config = uvicorn.Config(
        create_app(settings),
        access_log=False,
        proxy_headers=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ws="none",
    )
    server = uvicorn.Server(config)
    _spare_the_collector()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it again at its end
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return DONE if server.started else FAILED


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
