"""The composition root: settings in, an application that owns its engine, writer and worker out."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from gradwatch_service.api import (
    alerts,
    channels,
    deliveries,
    documents,
    frames,
    handing,
    health,
    keys,
    live,
    metrics,
    problems,
    projects,
    rules,
    runs,
    series,
    session,
    silences,
    sparklines,
)
from gradwatch_service.api.access.door import Door
from gradwatch_service.api.access.policy import policies_of
from gradwatch_service.api.backend import Backend
from gradwatch_service.api.intake import Intake
from gradwatch_service.api.metering import Metering
from gradwatch_service.api.operations import LIVE, PREFIX
from gradwatch_service.api.otlp import route as otlp
from gradwatch_service.api.shortcut import Shortcut
from gradwatch_service.api.watch import Live
from gradwatch_service.delivery.courier import BEAT_SECONDS, Courier, OpenChannel
from gradwatch_service.delivery.opening import opener
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
from gradwatch_service.web import site
from gradwatch_service.worker import run_worker, tick

DESCRIPTION = (
    "Watches training: sees exploding gradients early, says where and why, and what to do."
)

ROUTERS = (
    runs, frames, series, sparklines, alerts, handing, silences, channels, deliveries, rules, keys,
    projects, session, live,
)  # fmt: skip


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; nothing is opened before its lifespan starts.

    Raises:
        PolicyError: a route does not say who may use it.
    """
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
    for module in ROUTERS:
        app.include_router(module.router, prefix=PREFIX)
    for router in (health.router, documents.router, metrics.router, otlp.router):
        app.include_router(router)
    app.router.routes.insert(0, frames.put_frame)
    problems.install(app)
    site.install(app)
    app.state.policies = policies_of(app.routes)
    app.state.door = Door(settings, app.state.policies)
    app.add_middleware(Shortcut, route=frames.put_frame)
    app.add_middleware(  # around all routes
        Intake, settings=settings, admit=app.state.door.admit, refusal=site.refusal
    )
    app.add_middleware(Metering)
    return app


def _lifespan(
    settings: Settings,
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Live]]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Live]]:
        with ExitStack() as stack:
            served = await run_in_threadpool(stack.enter_context, backend(settings))
            if settings.embedded_worker:
                stack.enter_context(worker(served))
            app.state.backend = served
            async with Live(served) as app.state.live:
                yield {LIVE: app.state.live}
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
            served = Backend(engine, writer, settings, clock, ballast)
            with closing(served.rehearsals):
                yield served
    finally:
        writer.stop()
        engine.dispose()


@contextmanager
def worker(served: Backend, open_channel: OpenChannel | None = None) -> Iterator[None]:
    """Run the worker in threads of this process; ``open_channel``: by default to real channels."""
    courier = Courier(served, open_channel or opener(served.outgoing))
    beats = (
        (partial(tick, served), served.settings.worker_tick_seconds, "worker"),
        (courier.beat, BEAT_SECONDS, "delivery"),
    )
    stop = threading.Event()
    threads = [
        threading.Thread(target=run_worker, args=(work, pause_seconds, stop), name=name)
        for work, pause_seconds, name in beats
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        courier.close()
