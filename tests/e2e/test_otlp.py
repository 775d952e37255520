"""A job that knows nothing but OpenTelemetry: its explosion becomes an alert with the layer."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from requests.adapters import HTTPAdapter

from tests.e2e.exploded import assert_seen
from tests.e2e.test_keys import KEYED, new_key
from tests.servers import Server
from tests.tenants import bearer

LAYERS = ("embedding", "rnn", "head")
STEPS, BREAKS = 120, 80
DELTA = AggregationTemporality.DELTA


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks everybody for a key."""
    folder = tmp_path_factory.mktemp("otlp")
    url = f"sqlite:///{folder}/gradwatch.db"
    running = Server(url, folder / "server.log", environment=KEYED).start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def key(keyed: Server) -> str:
    return new_key(keyed, "admin")


def untouched() -> requests.Session:
    """As a job has it; Apprise, once loaded into a process, goes only where our channels lead."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter())
    return session


@contextmanager
def reporting(exporter: OTLPMetricExporter, **resource: str) -> Iterator[MeterProvider]:
    """The SDK as a user sets it up, save that it exports when it is told to."""
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    named = {key.replace("__", "."): value for key, value in resource.items()}
    provider = MeterProvider([reader], Resource.create(named), shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def train(provider: MeterProvider, *, flush_every: int, with_step: bool = True) -> None:
    """A training whose layer ``rnn`` explodes: each step its loss, and the norm of each layer."""
    meter = provider.get_meter("training")
    loss = meter.create_gauge("train.loss")
    norm = meter.create_gauge("gradwatch.grad_norm")
    noise = np.random.default_rng(3).lognormal(0.0, 0.05, (STEPS, 4))
    for step in range(STEPS):
        at = {"step": step} if with_step else {}
        growth = 2.0 ** max(step - BREAKS, 0)
        loss.set(2.0 * noise[step, 3] * math.sqrt(growth), at)
        for place, layer in enumerate(LAYERS):
            size = growth if layer == "rnn" else 1.0
            norm.set(float(noise[step, place] * size), {"layer": layer, **at})
        if (step + 1) % flush_every == 0:
            assert provider.force_flush()


def runs(server: Server, key: str, name: str) -> list[dict[str, object]]:
    found = httpx.get(f"{server.api}/runs", headers=bearer(key), trust_env=False).json()["items"]
    return [run for run in found if run["name"] == name]


def test_an_explosion_that_the_sdk_reports_alerts_with_its_layer(
    keyed: Server, key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", keyed.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {key}")
    exporter = OTLPMetricExporter(
        compression=Compression.Gzip,
        preferred_temporality={Gauge: DELTA, Histogram: DELTA},
        session=untouched(),
    )
    with reporting(exporter, gradwatch__run="exploding", service__name="lm-train") as provider:
        train(provider, flush_every=20)
    (run,) = runs(keyed, key, "exploding")
    assert (run["project"], run["last_step"]) == ("lm", STEPS - 1)
    assert_seen(keyed.api, run["id"], "rnn", BREAKS, bearer(key))


def test_without_steps_and_from_cumulative_gauges_it_alerts_too(keyed: Server, key: str):
    exporter = OTLPMetricExporter(
        endpoint=f"{keyed.url}/v1/metrics", headers=bearer(key), session=untouched()
    )
    with reporting(exporter, service__name="lm", service__instance__id="plain") as provider:
        train(provider, flush_every=1, with_step=False)
    (run,) = runs(keyed, key, "plain")
    assert run["last_step"] == STEPS - 1
    assert_seen(keyed.api, run["id"], "rnn", BREAKS, bearer(key))


def test_a_key_that_may_not_write_is_told_so(keyed: Server, caplog: pytest.LogCaptureFixture):
    headers = bearer(new_key(keyed, "read"))
    exporter = OTLPMetricExporter(
        endpoint=f"{keyed.url}/v1/metrics", headers=headers, session=untouched()
    )
    with caplog.at_level(logging.ERROR), reporting(exporter, service__name="lm") as provider:
        provider.get_meter("training").create_gauge("loss").set(1.0)
        provider.force_flush()
    assert "403" in caplog.text
