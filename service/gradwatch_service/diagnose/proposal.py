"""One thing to do, before a cause makes it its advice: numbers, code, check and way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.diagnose.trials import UNTRIED
from gradwatch_service.domain import Advice, JsonValue

LIFETIME = 256
_TORCH = ("torch", "lightning", "transformers")


@dataclass(frozen=True, slots=True)
class Proposal:
    """An action of DETECTORS section 5 with its parameters; ``klass``: who may decide (1 to 4)."""

    action: str
    klass: int
    title: str
    text: str
    code: str
    params: Mapping[str, JsonValue]
    undo: str
    verify: Mapping[str, JsonValue]
    preconditions: tuple[str, ...] = field(default=())

    def advice(
        self, cause: str, confidence: float, situation: Situation, evidence: tuple[str, ...]
    ) -> Advice:
        """The advice of a cause: to be applied at the next report, void 256 reports later."""
        following = situation.step + situation.increment
        trial = situation.trials.get(self.action, UNTRIED)
        failed = f"Tried at step {trial.step}: it did not help. " if self.failed(situation) else ""
        return Advice(
            cause=cause,
            action=self.action,
            klass=self.klass,
            title=self.title,
            text=f"{failed}{self.text}",
            code=self.code,
            params=self.params,
            confidence=confidence,
            apply_at_step=following,
            expires_step=situation.step + LIFETIME * situation.increment,
            preconditions=self.preconditions,
            verify=self.verify,
            undo=self.undo,
            evidence=evidence,
            round=trial.rounds,
        )

    def failed(self, situation: Situation) -> bool:
        """Whether the action was tried in this trouble and did not help."""
        trial = situation.trials.get(self.action, UNTRIED)
        return trial.failed and trial.step >= situation.onset_step


def code_for(situation: Situation, *, torch: str, plain: str) -> str:
    """The snippet for the framework of the run: PyTorch unless the run names another."""
    framework = situation.facts.framework
    return torch if not framework or any(word in framework for word in _TORCH) else plain


def check(
    metric: str, op: str, value: float | None, within_steps: int = 64
) -> dict[str, JsonValue]:
    """What must hold soon after the action; else the next advice is due."""
    return {"metric": metric, "op": op, "value": value, "within_steps": within_steps}


def absent(rule: str, within_steps: int = 64) -> dict[str, JsonValue]:
    """The check that a rule no longer holds."""
    return check(rule, "absent", None, within_steps)
