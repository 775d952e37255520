"""The nouns every stage of the service shares: layers, frames, severities, guard, advice, alerts.

Pure values: numpy and the standard library only, no clock, no I/O.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
BoolArray: TypeAlias = NDArray[np.bool_]
JsonValue: TypeAlias = (
    "bool | int | float | str | list[JsonValue] | tuple[JsonValue, ...] | "
    "Mapping[str, JsonValue] | None"
)

# "Not measured" is a NaN with the payload 1954 (R's NA), so that a reported NaN stays a NaN.
# The 64-bit pattern is what a float32 -> float64 conversion makes of the 32-bit one.
MISSING32_BITS = 0x7FC007A2
MISSING64_BITS = 0x7FF800F440000000
MISSING32: np.float32 = np.uint32(MISSING32_BITS).view(np.float32)
MISSING64: np.float64 = np.uint64(MISSING64_BITS).view(np.float64)

# What a project set of the rules, as (rule, field, value) in order: only what is not the default.
RuleChanges: TypeAlias = tuple[tuple[str, str, float], ...]

MAX_STEP = 2**53 - 1


def is_missing(values: FloatArray | Float32Array) -> BoolArray:
    """Tell which values were not measured (``null`` on the wire), as opposed to reported as NaN."""
    if values.dtype == np.float32:
        return np.asarray(values.view(np.uint32) == np.uint32(MISSING32_BITS))
    return np.asarray(values.view(np.uint64) == np.uint64(MISSING64_BITS))


class Severity(IntEnum):
    """How bad a finding is; 0 is reserved for "nothing" in arrays of severities."""

    INFO = 1
    WARNING = 2
    ERROR = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The lower-case word used on the wire."""
        return self.name.lower()


AlertState = Literal["pending", "firing", "acknowledged", "resolved"]
Health = Literal["ok", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One watched tensor: a weight matrix, a bias, an embedding, …, as the job described it.

    ``depth`` counts from the input (0); -1 means unknown. ``kind`` is a lower-case word, empty if
    unknown: ``linear``, ``conv``, ``recurrent``, ``embedding``, ``norm``, ``bias``, ``head``.
    """

    name: str
    kind: str = ""
    depth: int = -1
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    activation: str = ""
    normalised: bool | None = None
    residual: bool | None = None

    @property
    def numel(self) -> int:
        """Number of elements, 0 when the shape is unknown."""
        return math.prod(self.shape) if self.shape else 0

    def as_json(self) -> dict[str, JsonValue]:
        """The layer as it travels in ``POST /runs``; every key present, in one fixed form."""
        return {
            "name": self.name,
            "kind": self.kind,
            "depth": self.depth,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "activation": self.activation,
            "normalised": self.normalised,
            "residual": self.residual,
        }


@dataclass(frozen=True)
class LayerTable:
    """The ordered layers of a run; the columns of every per-layer array of a frame."""

    layers: tuple[Layer, ...] = ()

    def __len__(self) -> int:
        return len(self.layers)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Layer names in column order."""
        return tuple(layer.name for layer in self.layers)

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Column of each layer name."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def numel(self) -> FloatArray:
        """Elements per layer, float64[L]; 1 where the shape is unknown."""
        return np.array([max(layer.numel, 1) for layer in self.layers], dtype=np.float64)

    @cached_property
    def depth(self) -> IntArray:
        """Depth per layer, int64[L]; the column index where the job gave none."""
        given = [layer.depth if layer.depth >= 0 else i for i, layer in enumerate(self.layers)]
        return np.array(given, dtype=np.int64)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the table: sorted keys, no spaces, UTF-8."""
        body = json.dumps(
            [layer.as_json() for layer in self.layers],
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True)
class Frame:
    """One push, decoded: n reports of one writer in step order as they were sent.

    ``scalars``: name -> float64[n]; ``layers``: statistic -> float32[n, L]; ``profiles``:
    axis -> float32[n, T]. Values not measured are the missing NaN, see ``is_missing``.
    Arrays are read-only.
    """

    steps: IntArray
    time: FloatArray
    scalars: Mapping[str, FloatArray] = field(default_factory=dict)
    layers_hash: str = ""
    layers: Mapping[str, Float32Array] = field(default_factory=dict)
    profiles: Mapping[str, Float32Array] = field(default_factory=dict)
    events: tuple[Mapping[str, JsonValue], ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def numbers(self) -> int:
        """How many numbers it brings."""
        blocks = (*self.layers.values(), *self.profiles.values())
        return len(self) * len(self.scalars) + sum(values.size for values in blocks)

    @property
    def layers_bytes(self) -> int:
        """The size of what makes frames large."""
        return sum(values.nbytes for values in self.layers.values())

    def rows(self, start: int, stop: int) -> Frame:
        """Some of its reports, as views of the same arrays."""
        part = slice(start, stop)
        return replace(
            self,
            steps=self.steps[part],
            time=self.time[part],
            scalars={name: values[part] for name, values in self.scalars.items()},
            layers={name: values[part] for name, values in self.layers.items()},
            profiles={name: values[part] for name, values in self.profiles.items()},
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the run's config says about the optimisation, as far as diagnosis can use it.

    ``extra``: its numbers, by name.
    ``resumed``: the first reports are those of a net that has been trained before.
    ``rules``: what was set of the rules when it was launched.
    """

    optimizer: str = ""
    framework: str = ""
    beta2: float | None = None
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    resumed: bool = False
    rules: RuleChanges = ()

    @staticmethod
    def from_config(
        config: Mapping[str, JsonValue], *, resumed: bool = False, rules: RuleChanges = ()
    ) -> Facts:
        """Read the facts from a free-form config: ``optimizer``, ``framework``, ``betas``."""
        betas = config.get("betas")
        pair = betas if isinstance(betas, list | tuple) and len(betas) > 1 else (None, None)
        beta2 = pair[1] if isinstance(pair[1], float) else None
        return Facts(
            optimizer=str(config.get("optimizer") or "").lower(),
            framework=str(config.get("framework") or "").lower(),
            beta2=beta2,
            extra={key: value for key, value in config.items() if isinstance(value, int | float)},
            resumed=resumed,
            rules=rules,
        )

    def number(self, name: str) -> float | None:
        """A number of the config by name; None if it is absent or no finite number."""
        value = self.extra.get(name)
        if not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value)

    @property
    def adaptive(self) -> bool:
        """Whether the optimizer divides by a second moment (the Adam family)."""
        return any(word in self.optimizer for word in ("adam", "lamb", "adafactor", "rmsprop"))


@dataclass(frozen=True, slots=True)
class Guard:
    """Numbers the client evaluates locally before ``optimizer.step()``; None: no limit yet."""

    max_norm: float | None = None
    skip_above: float | None = None
    skip_nonfinite: bool = True
    max_consecutive_skips: int = 4
    expires_step: int = 0

    def as_json(self) -> dict[str, JsonValue]:
        """The guard as it travels in a receipt."""
        return {
            "max_norm": self.max_norm,
            "skip_above": self.skip_above,
            "skip_nonfinite": self.skip_nonfinite,
            "max_consecutive_skips": self.max_consecutive_skips,
            "expires_step": self.expires_step,
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact behind a finding or a diagnosis, in words and in numbers."""

    name: str
    text: str
    step: int
    value: float | None = None
    threshold: float | None = None
    layer: str | None = None
    weight: float | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The evidence as it travels in an alert; non-finite numbers stay floats here."""
        return {
            "name": self.name,
            "text": self.text,
            "step": self.step,
            "value": self.value,
            "threshold": self.threshold,
            "layer": self.layer,
            "weight": self.weight,
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do, with numbers; fields as in DETECTORS section 5 (``klass`` is ``class``).

    ``round``: how often this action was tried in vain.
    """

    cause: str
    action: str
    klass: int
    title: str
    text: str
    code: str
    params: Mapping[str, JsonValue]
    confidence: float
    apply_at_step: int
    expires_step: int
    preconditions: tuple[str, ...] = ()
    verify: Mapping[str, JsonValue] = field(default_factory=dict)
    undo: str = ""
    evidence: tuple[str, ...] = ()
    round: int = 0

    def as_json(self, alert_id: uuid.UUID, severity: Severity) -> dict[str, JsonValue]:
        """The advice as it travels, with the severity of its alert.

        Its id is stable: uuid5 of the alert and the action, and of the round after a failure.
        """
        name = f"{self.action}:{self.round}" if self.round else self.action
        return {
            "id": str(uuid.uuid5(alert_id, name)),
            "alert_id": str(alert_id),
            "cause": self.cause,
            "severity": severity.label,
            "confidence": self.confidence,
            "action": self.action,
            "params": self.params,
            "class": self.klass,
            "title": self.title,
            "text": self.text,
            "code": self.code,
            "apply_at_step": self.apply_at_step,
            "expires_step": self.expires_step,
            "preconditions": list(self.preconditions),
            "verify": self.verify,
            "undo": self.undo,
            "evidence": list(self.evidence),
        }


def alert_id(run_id: uuid.UUID, cause: str) -> uuid.UUID:
    """The one alert of a run and cause: the same id whoever computes it, whenever."""
    return uuid.uuid5(run_id, f"alert:{cause}")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cause an alert may have: how likely it is, what speaks for it and what against."""

    cause: str
    title: str
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    against: tuple[Evidence, ...] = ()

    def as_json(self) -> dict[str, JsonValue]:
        """The suspect as it travels in an alert: its evidence in words, with weights."""
        return {
            "cause": self.cause,
            "title": self.title,
            "confidence": self.confidence,
            "evidence": [_weighed(fact) for fact in self.evidence],
            "against": [_weighed(fact) for fact in self.against],
        }


def _weighed(fact: Evidence) -> dict[str, JsonValue]:
    return {"name": fact.name, "text": fact.text, "weight": fact.weight}


@dataclass(frozen=True, slots=True)
class AlertPart:
    """What one writer (process, rank) contributes to the alert of a run and cause.

    Parts of several writers are joined into the alert by ``diagnose.merge``; the join does not
    depend on the order in which the writers' frames arrived. ``causes``: the two likeliest, this
    one first; ``since_step``: where it was found, this time, if it had been resolved before.
    """

    cause: str
    state: AlertState
    rule: str
    severity: Severity
    actionable: bool
    confidence: float
    opened_step: int
    last_step: int
    resolved_step: int | None
    regressed: bool
    title: str
    explanation: str
    layers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    advice: tuple[Advice, ...]
    causes: tuple[Suspect, ...] = ()
    since_step: int = 0


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One transition of an alert in one writer's stream: pending, firing, worsened, resolved."""

    cause: str
    kind: str
    step: int
    text: str
