"""Puts the series of a past run together into steps for ``POST /runs/{id}/steps``; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gradwatch.history.mapping import Rule, Target, target_of, under_its_own_name
from gradwatch.history.past_run import PastRun, Value
from gradwatch.values import JsonValue, as_json

BATCH_STEPS = 500
BATCH_VALUES = 50_000


@dataclass
class Plan:
    """``mapped``: metric (of layers: with a star) -> the names that become it; ``left_out``."""

    series: dict[Target, Mapping[int, Value]] = field(default_factory=dict)
    mapped: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def values(self) -> int:
        """How many there are."""
        return sum(map(len, self.series.values()))

    def batches(self) -> Iterator[list[dict[str, JsonValue]]]:
        """The steps in order, as many at once as go well into one request."""
        batch: list[dict[str, JsonValue]] = []
        size = 0
        for values, step in self._steps():
            if batch and (len(batch) >= BATCH_STEPS or size + values > BATCH_VALUES):
                yield batch
                batch, size = [], 0
            batch.append(step)
            size += values
        if batch:
            yield batch

    def _steps(self) -> Iterator[tuple[int, dict[str, JsonValue]]]:
        """How many values a step has, and the step."""
        rows: defaultdict[int, list[tuple[Target, Value]]] = defaultdict(list)
        for target, series in self.series.items():
            for step, value in series.items():
                rows[step].append((target, value))
        for step in sorted(rows):
            yield len(rows[step]), _step(step, rows[step])


def _step(number: int, row: Sequence[tuple[Target, Value]]) -> dict[str, JsonValue]:
    step: dict[str, JsonValue] = {"step": number}
    time = max(value.time for _, value in row)
    if time > 0:
        step["time"] = time
    layers: dict[str, dict[str, JsonValue]] = {}
    for (metric, layer), value in row:
        place = step if layer is None else layers.setdefault(layer, {})
        place[metric] = as_json(value.value)
    if layers:
        step["layers"] = as_json(layers)
    return step


def plan(run: PastRun, rules: Sequence[Rule] = ()) -> Plan:
    """What becomes of each series.

    Where several become the same, the first by order of the rules does, then by name; the others
    keep their own names, if they can.
    """
    found = Plan(left_out=Counter(run.left_out))
    targets = {name: target_of(name, rules) for name in run.series}
    for name in sorted(targets, key=lambda name: (targets[name][0], name)):
        target = targets[name][1]
        if target in found.series:
            target = under_its_own_name(name)
        if target is None or target in found.series:
            found.left_out[name] += len(run.series[name])
            continue
        found.series[target] = run.series[name]
        shown = target.metric if target.layer is None else f"{target.metric} of layers"
        found.mapped.setdefault(shown, []).append(name)
    return found
