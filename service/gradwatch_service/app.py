"""The composition root: settings in, an application that owns its engine, writer and worker out."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from gradwatch_service.api import alerts, documents, frames, health, problems, runs, series
from gradwatch_service.api.backend import Backend
from gradwatch_service.api.intake import Intake
from gradwatch_service.api.operations import PREFIX
from gradwatch_service.api.shortcut import Shortcut
from gradwatch_service.ingest.judge_process import ProcessJudge
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import checkpoint
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.database_clock import shared_clock
from gradwatch_service.store.migration import migrate
from gradwatch_service.store.write_ahead_log import kept_short
from gradwatch_service.store.writers import runs_unjudged
from gradwatch_service.worker import run_worker, tick

DESCRIPTION = (
    "Watches training: sees exploding gradients early, says where and why, and what to do."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; nothing is opened before its lifespan starts."""
    settings = settings or Settings()
    app = FastAPI(
        title="Gradwatch",
        version=version("gradwatch"),
        description=DESCRIPTION,
        openapi_url=None,  # ours: documents
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=_lifespan(settings),
    )
    for module in (runs, frames, series, alerts):
        app.include_router(module.router, prefix=PREFIX)
    for router in (health.router, documents.router):
        app.include_router(router)
    app.router.routes.append(frames.put_frame)
    app.add_middleware(Shortcut, route=frames.put_frame)
    app.add_middleware(Intake, settings=settings)  # around all others
    problems.install(app)
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            served = await run_in_threadpool(stack.enter_context, backend(settings))
            if settings.embedded_worker:
                stack.enter_context(worker(served))
            app.state.backend = served
            yield
            await run_in_threadpool(stack.close)

    return lifespan


@contextmanager
def backend(settings: Settings) -> Iterator[Backend]:
    """Open everything the routes stand on; when it closes, what was taken on is stored first."""
    checkpoint.fingerprint()  # of what runs here, before the files can be exchanged for newer ones
    engine = make_engine(settings.database_url)
    migrate(engine)
    ballast = Ballast(engine, settings.ballast_bytes)
    ballast.restore()
    clock = shared_clock(engine)
    with engine.connect() as connection:
        left = runs_unjudged(connection, clock())
    writer = Writer(engine, clock=clock, judge=ProcessJudge(), left=left)
    writer.start()
    try:
        with kept_short(engine):
            yield Backend(engine, writer, settings, clock, ballast)
    finally:
        writer.stop()
        engine.dispose()


@contextmanager
def worker(served: Backend) -> Iterator[None]:
    """Run the worker in a thread of this process."""
    stop = threading.Event()
    work = partial(tick, served)
    pause_seconds = served.settings.worker_tick_seconds
    thread = threading.Thread(target=run_worker, args=(work, pause_seconds, stop), name="worker")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
