"""Reads the body of an OTLP request: its resources, and the values of their data points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest as Request,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import DataPointFlags, Metric, ResourceMetrics

from gradwatch_service.domain import MAX_STEP, JsonValue
from gradwatch_service.errors import Invalid, TooLarge, Unreadable, UnsupportedMedia
from gradwatch_service.store.wording import check_name, invalid

PROTOBUF, JSON = "application/x-protobuf", "application/json"
JSON_BYTES_MAX = 2**22  # it is read fifty times slower
POINTS_MAX = 200_000  # with metrics and scopes, which may be empty
RESOURCES_MAX = 1_000
PREFIXES = ("gradwatch.", "training.", "train.", "train/")
LAYER, STEP = ("gradwatch.layer", "layer"), ("gradwatch.step", "step")
STEP_METRICS = frozenset({"step", "global_step"})
RESERVED = frozenset({"time", "layers"})
NANOSECONDS = 1e9
NO_STEP = "a step must be an integer from 0 to 2^53 - 1"

Attributes: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Point:
    """One value: of a run, or of one of its layers; ``time`` 0: not given."""

    name: str
    value: float
    time: float
    layer: str | None
    step: int | None

    @property
    def is_step(self) -> bool:
        """Whether its value says at which step all others without one were measured."""
        return self.name in STEP_METRICS and self.layer is None


@dataclass(frozen=True)
class Resource:
    """Who reports, and what: the good points; how many were refused, and why."""

    attributes: Attributes
    points: list[Point] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def read(media: str, body: bytes) -> list[Resource]:
    """All resources of a request.

    Raises:
        UnsupportedMedia: it is neither protobuf nor JSON.
        Unreadable: it is not what it says it is.
        TooLarge: there is more in it than one request may bring.
    """
    request = _parse(media, body)
    if len(request.resource_metrics) > RESOURCES_MAX:
        raise TooLarge(f"at most {RESOURCES_MAX} resources in one request: send smaller batches")
    if sum(map(_count, request.resource_metrics)) > POINTS_MAX:
        raise TooLarge(f"at most {POINTS_MAX} data points in one request: send smaller batches")
    return [_resource(one) for one in request.resource_metrics]


def _parse(media: str, body: bytes) -> Request:
    request = Request()
    if media not in (PROTOBUF, JSON):
        raise UnsupportedMedia(f"send the header Content-Type: {PROTOBUF} or {JSON}")
    if media == JSON and len(body) > JSON_BYTES_MAX:
        raise TooLarge(f"at most {JSON_BYTES_MAX} bytes of JSON: send protobuf")
    try:
        if media == PROTOBUF:
            request.ParseFromString(body)
        else:
            json_format.Parse(body, request, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("the body is no ExportMetricsServiceRequest of OTLP") from error
    return request


def _metrics(sent: ResourceMetrics) -> Iterator[Metric]:
    for scope in sent.scope_metrics:
        yield from scope.metrics


def _data_points(metric: Metric) -> Sequence[Any]:
    kind = metric.WhichOneof("data")
    points: Sequence[Any] = () if kind is None else getattr(metric, kind).data_points
    return points


def _count(sent: ResourceMetrics) -> int:
    points = sum(1 + len(_data_points(metric)) for metric in _metrics(sent))
    return len(sent.scope_metrics) + points


def _resource(sent: ResourceMetrics) -> Resource:
    resource = Resource(_attributes(sent.resource.attributes))
    for metric in _metrics(sent):
        values_of = _VALUES.get(metric.WhichOneof("data") or "")
        for point in _data_points(metric):
            if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
                continue
            try:
                if values_of is None:
                    raise invalid("/data", "not-read", "summaries are not read: send gauges")
                resource.points.extend(_points(metric.name, point, values_of(point)))
            except Invalid as error:
                resource.refused[error.detail] += 1
    return resource


def _points(metric: str, point: Any, values: Mapping[str, float]) -> Iterator[Point]:
    attributes = _attributes(point.attributes)
    layer = _first(attributes, LAYER)
    step = _step(_first(attributes, STEP))
    name = _plain_name(metric) + _told_apart(attributes)
    for ending, value in values.items():
        one = Point(
            name=check_name(name + ending, "/name"),
            value=value,
            time=point.time_unix_nano / NANOSECONDS,
            layer=None if layer is None else check_name(str(layer), "/layer"),
            step=step,
        )
        if one.is_step and not 0 <= value <= MAX_STEP:
            raise invalid("/step", "not-a-step", NO_STEP)
        yield one


def _plain_name(metric: str) -> str:
    found = next((prefix for prefix in PREFIXES if metric.startswith(prefix)), "")
    name = metric.removeprefix(found)
    if name in RESERVED:
        raise invalid("/name", "reserved", "no metric can be called time or layers")
    return name


def _told_apart(attributes: Attributes) -> str:
    """What distinguishes series of one metric beyond layer and step, as a part of their name."""
    others = {key: attributes[key] for key in sorted(attributes) if key not in (*LAYER, *STEP)}
    return "{" + ",".join(f"{key}={value}" for key, value in others.items()) + "}" if others else ""


def _first(attributes: Attributes, keys: Iterable[str]) -> JsonValue:
    return next((attributes[key] for key in keys if key in attributes), None)


def _step(value: JsonValue) -> int | None:
    """A step as SDKs may write it: an integer, or its digits."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    digits = str(value)
    if not (digits.isascii() and digits.isdecimal()) or int(digits[:17]) > MAX_STEP:
        raise invalid("/step", "not-a-step", NO_STEP)
    return int(digits[:17])


def _attributes(sent: Iterable[KeyValue]) -> dict[str, JsonValue]:
    return {one.key: _plain(one.value) for one in sent}


def _plain(value: AnyValue) -> JsonValue:
    """An attribute's value as JSON has it; bytes in hex."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    plain: JsonValue = None if kind is None else getattr(value, kind)
    return plain


def _of_number(point: Any) -> dict[str, float]:
    kind = point.WhichOneof("value")
    if kind is None:
        raise invalid("/value", "no-value", "a data point needs a value")
    return {"": float(getattr(point, kind))}


def _of_histogram(point: Any) -> dict[str, float]:
    """Its mean, and its largest value where the SDK says it."""
    if not point.count or not point.HasField("sum"):
        return {}
    values = {".mean": point.sum / point.count}
    return values | {".max": point.max} if point.HasField("max") else values


_VALUES: Mapping[str, Callable[[Any], Mapping[str, float]]] = {
    "gauge": _of_number,
    "sum": _of_number,
    "histogram": _of_histogram,
    "exponential_histogram": _of_histogram,
}
