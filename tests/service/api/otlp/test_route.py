"""What OTLP exporters send becomes steps of runs, whatever they repeat, split or get wrong."""

from __future__ import annotations

import gzip
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from tests.service.api.conftest import Api, problem
from tests.service.api.otlp.requests import (
    SECOND,
    START,
    URL,
    gauge,
    packed,
    point,
    request,
    run_of,
    send,
    series,
)

PROTOBUF = "application/x-protobuf"


def accepted(answer) -> None:
    assert (answer.status_code, answer.json()) == (200, {})


def refused(answer) -> tuple[int, str]:
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    return int(partial["rejectedDataPoints"]), partial["errorMessage"]


def test_gauges_become_steps_of_a_run_made_on_first_sight(api: Api):
    body = request(
        gauge("train.loss", point(2.5, step=7), point("NaN", step=8)),
        gauge("gradwatch.grad_norm", point(1.5, layer="fc1", step=7), point(3.0, step="8")),
        service__name="first",
        service__instance__id="job 1",
        gradwatch__config__optimizer="adamw",
    )
    accepted(send(api, body))
    run = run_of(api, "first")
    assert (run["name"], run["tags"], run["last_step"]) == ("job 1", ["otlp"], 8)
    assert run["config"]["optimizer"] == "adamw"
    assert series(api, "first", "loss") == {7: 2.5, 8: "NaN"}
    assert series(api, "first", "grad_norm") == {8: 3.0}
    assert series(api, "first", "grad_norm", layer="fc1") == {7: 1.5}


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_protobuf_is_answered_in_protobuf(api: Api, coding):
    name = f"packed-{coding}"
    body = packed(request(gauge("loss", point(1.0, step=0)), service__name=name))
    wire = gzip.compress(body) if coding == "gzip" else body
    headers = {"content-type": PROTOBUF, "content-encoding": coding}
    answer = api.send("POST", URL, content=wire, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    assert ExportMetricsServiceResponse.FromString(answer.content) == ExportMetricsServiceResponse()
    assert series(api, name, "loss") == {0: 1.0}


def test_a_run_is_found_again_by_its_name_or_id(api: Api):
    for step, name in enumerate(["a", "a", "b"]):
        body = request(gauge("loss", point(1.0, step=step)), service__name="again",
                       gradwatch__run=name)  # fmt: skip
        accepted(send(api, body))
    runs = api.get("/runs", project="again").json()["items"]
    assert sorted((run["name"], run["last_step"]) for run in runs) == [("a", 1), ("b", 2)]
    wanted = str(uuid.uuid4())
    body = request(gauge("loss", point(1.0, step=0)), gradwatch__project="by id",
                   gradwatch__run__id=wanted, gradwatch__run="nice name")  # fmt: skip
    accepted(send(api, body))
    run = run_of(api, "by id")
    assert (run["id"], run["name"]) == (wanted, "nice name")


def test_a_cumulative_exporter_that_repeats_all_stores_each_value_once(api: Api):
    points = []
    for step in range(4):
        points = [point(float(step), START + step * SECOND, step=step), *points]
        accepted(send(api, request(gauge("loss", *points), service__name="cumulative")))
    run = run_of(api, "cumulative")["id"]
    found = api.get(f"/runs/{run}/series", metric="loss").json()
    assert (found["steps"], found["values"]) == ([0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0])


def test_values_of_one_step_may_come_apart(api: Api):
    parts = (
        gauge("loss", point(1.0, step=3)),
        gauge("grad_norm", point(2.0, step=3, layer="a")),
        gauge("grad_norm", point(9.0, step=3, layer="a"), point(3.0, step=3, layer="b")),
        gauge("weight_norm", point(4.0, step=3, layer="b")),
        gauge("loss", point(8.0, step=3)),
    )
    for part in parts:
        accepted(send(api, request(part, service__name="apart")))
    assert series(api, "apart", "loss") == {3: 1.0}
    assert series(api, "apart", "grad_norm", layer="a") == {3: 2.0}
    assert series(api, "apart", "grad_norm", layer="b") == {3: 3.0}
    assert series(api, "apart", "weight_norm", layer="b") == {3: 4.0}


def test_without_a_step_exports_are_counted_and_a_repeated_one_is_not(api: Api):
    def export(number: int):
        now = START + number * SECOND
        loss = gauge("loss", point(float(number), now))
        norm = gauge("grad_norm", point(1.0, now + 5, layer="fc"))  # some SDKs ask twice
        return send(api, request(loss, norm, service__name="counted"))

    for number in (0, 1, 1, 2, 0):
        accepted(export(number))
    assert series(api, "counted", "loss") == {0: 0.0, 1: 1.0, 2: 2.0}
    assert series(api, "counted", "grad_norm", layer="fc") == {0: 1.0, 1: 1.0, 2: 1.0}


def test_a_long_counted_export_sent_again_is_not_counted_again(api: Api):
    points = [point(1.0, START + number * SECOND) for number in range(1_200)]
    points += [point(2.0, START + 1_199 * SECOND)]
    for _ in range(2):
        accepted(send(api, request(gauge("loss", *points), service__name="long and counted")))
    assert run_of(api, "long and counted")["last_step"] == 1_199
    run = run_of(api, "long and counted")["id"]
    found = api.get(f"/runs/{run}/series", metric="loss", points=5_000).json()
    assert found["steps"] == list(range(1_200))


def test_a_metric_called_step_numbers_the_others(api: Api):
    for step in (10, 20):
        now = START + step * SECOND
        metrics = gauge("step", point(float(step), now)), gauge("loss", point(0.5, now))
        accepted(send(api, request(*metrics, service__name="stepped")))
    assert series(api, "stepped", "loss") == {10: 0.5, 20: 0.5}


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", -1.0, 2.0**53])
def test_a_metric_called_step_that_is_none_is_refused_and_the_rest_is_stored(api: Api, value):
    name = f"no step {value}"
    metrics = (
        gauge("step", point(value), point(1.0, layer="fc")),
        gauge("loss", point(0.5)),
    )
    count, message = refused(send(api, request(*metrics, service__name=name)))
    assert (count, message) == (1, "1 refused: a step must be an integer from 0 to 2^53 - 1")
    assert series(api, name, "loss") == {0: 0.5}
    assert series(api, name, "step", layer="fc") == {0: 1.0}


def test_further_attributes_tell_series_apart(api: Api):
    loss = gauge("loss", point(1.0, step=0), point(2.0, step=0, split="val"))
    accepted(send(api, request(loss, service__name="splits")))
    assert series(api, "splits", "loss") == {0: 1.0}
    assert series(api, "splits", "loss{split=val}") == {0: 2.0}


def test_a_histogram_leaves_its_mean_and_maximum_and_a_sum_its_value(api: Api):
    stamp = {"timeUnixNano": str(START), "attributes": point(0, step=1)["attributes"]}
    seen = stamp | {"count": "4", "sum": 10.0, "max": 7.0}
    metrics = (
        {"name": "seconds", "histogram": {"dataPoints": [seen, stamp | {"count": "0"}]}},
        {"name": "tokens", "sum": {"dataPoints": [stamp | {"asInt": "512"}]}},
    )
    accepted(send(api, request(*metrics, service__name="kinds")))
    found = [series(api, "kinds", name) for name in ("seconds.mean", "seconds.max", "tokens")]
    assert found == [{1: 2.5}, {1: 7.0}, {1: 512.0}]


def test_what_is_refused_is_counted_and_the_rest_is_stored(api: Api):
    summary = {"name": "s", "summary": {"dataPoints": [{"timeUnixNano": str(START)}]}}
    absent = {"timeUnixNano": str(START), "flags": 1}
    body = request(
        gauge("loss", point(1.0, step=0), point(1.0, step=-1), point(1.0, step="two"), absent),
        gauge("time", point(1.0, step=0)),
        gauge("lr", point(0.1, 0), {"timeUnixNano": str(START)}),
        gauge("grad\nnorm", point(1.0, step=0)),
        summary,
        service__name="partly",
    )
    count, message = refused(send(api, body))
    assert count == 7
    assert "2 refused: a step must be an integer from 0 to 2^53 - 1" in message
    assert "two" not in message
    assert series(api, "partly", "loss") == {0: 1.0}


def test_a_resource_that_cannot_be_stored_loses_only_its_own_points(api: Api):
    body = request(gauge("loss", point(1.0, step=0)), service__name="good")
    for bad in (
        {"gradwatch__project": "\x07"},
        {"gradwatch__run": "a\nb", "gradwatch__run__id": "fine"},
        {"gradwatch__config__note": "no \0"},
    ):
        other = request(gauge("loss", point(1.0, step=0)), service__name="good", **bad)
        body["resourceMetrics"] += other["resourceMetrics"]
    assert refused(send(api, body))[0] == 3
    assert series(api, "good", "loss") == {0: 1.0}


def test_resource_attributes_of_every_kind_become_config(api: Api):
    body = request(
        gauge("loss", point(1.0, step=0)),
        service__name="kinds of config",
        gradwatch__config__lr=0.5,
        gradwatch__config__amp=True,
        gradwatch__config__layers=12,
    )
    nested = {"arrayValue": {"values": [{"doubleValue": 0.5}, {"stringValue": "x"}]}}
    sent = body["resourceMetrics"][0]["resource"]["attributes"]
    sent += [{"key": "list", "value": nested}, {"key": "odd", "value": {"doubleValue": "NaN"}}]
    accepted(send(api, body))
    config = run_of(api, "kinds of config")["config"]
    assert (config["lr"], config["amp"], config["layers"]) == (0.5, True, 12)
    assert (config["list"], config["odd"]) == ([0.5, "x"], "NaN")


def test_a_bomb_is_refused_at_this_door_too(api: Api):
    wire = gzip.compress(b"\0" * 2**24)
    headers = {"content-type": PROTOBUF, "content-encoding": "gzip"}
    answer = api.send("POST", URL, content=wire, headers=headers)
    assert problem(answer) == (413, "inflates-too-large")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_changed_in_a_request_it_is_no_defect(api: Api, data: st.DataObject):
    loss = gauge("loss", point(1.0, step=0, layer="fc"), point(2.0, extra="x"))
    wire = bytearray(packed(request(loss, service__name="fuzz", service__instance__id="1")))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(wire) - 1))
        wire[place] = data.draw(st.integers(0, 255))
    answer = api.send("POST", URL, content=bytes(wire), headers={"content-type": PROTOBUF})
    assert answer.status_code in (200, 400), answer.text


@pytest.mark.parametrize(
    ("media", "body", "wanted"),
    [
        ("text/plain", b"{}", (415, "unsupported-media")),
        ("application/json", b"{", (400, "unreadable")),
        ("application/json", b'{"resourceMetrics": 3}', (400, "unreadable")),
        ("application/json", b"\xff", (400, "unreadable")),
        ("application/json", b" " * (2**22 + 1), (413, "too-large")),
        (PROTOBUF, b"\xff\xff", (400, "unreadable")),
        (PROTOBUF, b"\x0a\x06\x12\x04\x12\x02\x0a\x05", (400, "unreadable")),
        (PROTOBUF, b"\0" * (2**22 + 1), (413, "too-large")),
    ],
)
def test_what_is_no_request_of_otlp_is_refused(api: Api, media, body, wanted):
    answer = api.send("POST", URL, content=body, headers={"content-type": media})
    assert problem(answer) == wanted


@pytest.mark.parametrize(
    "resources",
    [
        [{}] * 1_001,
        [{"scopeMetrics": [{}] * 200_001}],
        [{"scopeMetrics": [{"metrics": [{}] * 200_000}]}],
        [{"scopeMetrics": [{"metrics": [gauge("loss", *[{}] * 199_999)]}]}],
    ],
)
def test_too_many_parts_are_refused_whatever_they_are(api: Api, resources):
    body = packed({"resourceMetrics": resources})
    answer = api.send("POST", URL, content=body, headers={"content-type": PROTOBUF})
    assert problem(answer) == (413, "too-large")


def test_resources_that_unfold_too_far_together_are_refused(api: Api):
    def wide(name: str) -> dict[str, Any]:
        points = [point(1.0, step=step) for step in range(1_000)]
        names = [gauge(f"m{number}", point(1.0, step=0)) for number in range(3_000)]
        return request(gauge("loss", *points), *names, service__name=name)

    accepted(send(api, wide("wide")))
    body = {"resourceMetrics": [wide(name)["resourceMetrics"][0] for name in ("w1", "w2", "w3")]}
    answer = api.send("POST", URL, content=packed(body), headers={"content-type": PROTOBUF})
    assert problem(answer) == (413, "too-large")
    assert api.get("/runs", project="w3").json()["items"] == []


def test_an_empty_request_is_a_success(api: Api):
    accepted(send(api, {}))
    accepted(send(api, request(service__name="nothing")))
    assert api.get("/runs", project="nothing").json()["items"] == []


def test_more_steps_than_a_push_may_have_are_several_pushes(api: Api):
    points = [point(float(step), step=step) for step in range(1_200)]
    accepted(send(api, request(gauge("loss", *points), service__name="long")))
    assert run_of(api, "long")["last_step"] == 1_199


def test_an_id_of_another_project_is_a_conflict(api: Api):
    run = api.new_run()
    body = request(gauge("loss", point(1.0, step=0)), service__name="elsewhere",
                   gradwatch__run__id=run.removeprefix("/runs/"))  # fmt: skip
    assert problem(send(api, body)) == (409, "conflict")
    assert api.get(f"{run}/series", metric="loss").json()["values"] == []
