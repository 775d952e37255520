"""Runs of MLflow from a tracking server, by its REST API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from gradwatch.errors import Refused, Unreachable
from gradwatch.history.mlflow_files import seconds, setting, state_of
from gradwatch.history.past_run import PastRun, Value

API = "/api/2.0/mlflow"
PAGE = 1_000
HISTORY_PAGE = 25_000
NO_STEP = 0


def read(url: str, http: httpx.BaseTransport | None = None) -> Iterator[PastRun]:
    """All runs of all experiments of a server.

    Raises:
        Unreachable: it does not answer.
        Refused: it answers something else.
    """
    with httpx.Client(base_url=url.rstrip("/"), transport=http, timeout=30.0) as client:
        names = {
            str(one["experiment_id"]): str(one["name"])
            for one in _pages(client, "POST", "/experiments/search", "experiments")
        }
        wanted = {"experiment_ids": list(names)}
        for found in _pages(client, "POST", "/runs/search", "runs", wanted) if names else ():
            yield _read_run(client, names, found)


def _read_run(client: httpx.Client, names: Mapping[str, str], found: Mapping[str, Any]) -> PastRun:
    info, data = found["info"], found.get("data") or {}
    run = PastRun(
        source="mlflow",
        key=info["run_id"],
        name=info.get("run_name") or info["run_id"],
        project=names.get(str(info["experiment_id"])),
        state=state_of(info.get("status", "")),
        config={one["key"]: setting(one["value"]) for one in data.get("params", ())},
    )
    for metric in data.get("metrics", ()):
        asked = {"run_id": run.key, "metric_key": metric["key"], "max_results": HISTORY_PAGE}
        for one in _pages(client, "GET", "/metrics/get-history", "metrics", asked):
            value = Value(seconds(float(one["timestamp"])), float(one["value"]))
            run.add(metric["key"], int(one.get("step", NO_STEP)), value)
    return run


def _pages(
    client: httpx.Client,
    method: str,
    path: str,
    what: str,
    asked: Mapping[str, object] | None = None,
) -> Iterable[Mapping[str, Any]]:
    token = None
    query = {"max_results": PAGE, **(asked or {})}
    while True:
        page = _ask(client, method, path, query | ({"page_token": token} if token else {}))
        yield from page.get(what) or ()
        token = page.get("next_page_token")
        if not token:
            return


def _ask(
    client: httpx.Client, method: str, path: str, query: Mapping[str, Any]
) -> Mapping[str, Any]:
    try:
        if method == "GET":
            answer = client.get(API + path, params=query)
        else:
            answer = client.post(API + path, json=query)
    except httpx.HTTPError as error:
        raise Unreachable(f"no answer from MLflow: {error}") from error
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.status_code != 200 or not isinstance(body, dict):
        code = str(body.get("error_code", "")) if isinstance(body, dict) else ""
        raise Refused(answer.status_code, code, "MLflow does not show its runs")
    return body
