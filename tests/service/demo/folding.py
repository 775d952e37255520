"""The service without the network: a run whose reports go straight into the real fold."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from gradwatch.guard import Decision, Guard, decide
from gradwatch.off import OffRun
from gradwatch_service.demo.job import Settings
from gradwatch_service.demo.rnn import describe, initial_weights
from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.merge import join
from gradwatch_service.domain import Facts, Frame, Layer, LayerTable

RUN_ID = uuid.UUID(int=1)


class FoldedRun(OffRun):
    """Judges reports with the service's own rules and answers at each flush, as a receipt would."""

    def __init__(self, settings: Settings) -> None:
        described = describe(initial_weights(settings.seed, settings.hidden))
        self._table = LayerTable(tuple(_layer(one) for one in described))
        self._state = fold.init(self._table, Facts.from_config({"optimizer": "sgd"}))
        self._waiting: list[Frame] = []
        self._skips = 0
        self.guard = Guard()
        self.events: list[tuple[int | None, str]] = []

    @property
    def alerts(self) -> list[Any]:
        parts = self._state.parts.values()
        return [join(RUN_ID, {"writer": part}).as_json() for part in parts]

    @property
    def advice(self) -> list[Any]:
        firing = (alert for alert in self.alerts if alert["state"] == "firing")
        return [advice for alert in firing for advice in alert["advice"]]

    def log(
        self, step: Any = None, *, layers: Any = None, profiles: Any = None, **scalars: Any
    ) -> None:
        with np.errstate(over="ignore"):
            stats = {
                name: np.array([[layers[x][name] for x in self._table.names]], dtype=np.float32)
                for name in ("grad_norm", "weight_norm", "update_norm")
            }
            through_time = np.array([profiles["time"]], dtype=np.float32)
        self._waiting.append(
            Frame(
                np.array([step]),
                np.zeros(1),
                {name: np.array([value]) for name, value in scalars.items()},
                self._table.hash,
                stats,
                {"time": through_time},
            )
        )

    def event(self, kind: str, step: Any = None, **fields: Any) -> None:
        self.events.append((step, f"{kind}: {fields['text']}"))

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        del timeout_seconds
        for frame in self._waiting:
            self._state, _ = fold.update(self._state, frame, self._table)
        self._waiting.clear()
        self.guard = Guard.from_json(self._state.guard.as_json())
        return True

    def decide(self, grad_norm: Any, step: Any = None) -> Decision:
        decision = decide(self.guard, grad_norm, step, self._skips)
        self._skips = self._skips + 1 if decision.skip else 0
        return decision


def _layer(described: dict[str, Any]) -> Layer:
    return Layer(**described | {"shape": tuple(described["shape"])})
