"""Which runs are made: every fault that can be repaired in place, every healthy task, other seeds.

Jobs of several ranks are left out: here all ranks live in one process, while the client shares its
decisions between processes (``tests/e2e`` has those). A sick rank is for a person to take out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.detection import fault as faults
from benchmarks.detection import task as tasks
from benchmarks.detection.fault import Case
from benchmarks.detection.oracle import CHECKS
from benchmarks.repair.course import Setting

FAULTY_SEEDS, HEALTHY_SEEDS = (201, 202), (201,)
EARLIEST = 200  # by then there are checkpoints 100 steps old
# What these do goes on behind the optimizer, or is a change of the code: no client can undo it.
FOR_A_PERSON = frozenset(
    {"attention-sharpens", "growing-radius", "missing-normalisation", "weights-growing"}
)
QUICK_STEPS = 400
QUICK = ("mlp-adam/learning-rate-jump", "mlp-adam/nan-sample", "deep-relu", "mlp-adam")


@dataclass(frozen=True)
class Plan:
    """A case of the catalogue of faults, or a healthy task, and a seed."""

    name: str
    seed: int
    case: Case | None = None
    steps_most: int | None = None

    @property
    def fault(self) -> str:
        """The fault's id; of a healthy run the task's name."""
        return self.case.fault(self.seed).id if self.case else self.name

    @property
    def setting(self) -> Setting:
        """The run itself: after the fault it has as many steps as the oracle needs and has."""
        if self.case is None:
            task = tasks.catalogue()[self.name]
            return Setting(task, self.seed, self.steps_most or task.steps)
        fault = self.case.fault(self.seed)
        start = 0 if fault.from_start else EARLIEST + self.case.start(self.seed) // 4
        steps = start + self.case.after + CHECKS[-1]
        return Setting(tasks.catalogue()[self.case.task], self.seed, steps, fault, start)


def plans() -> list[Plan]:
    """Every run, the faulty ones first."""
    faulty = [
        Plan(case.name, seed, case)
        for case in faults.catalogue()
        for seed in FAULTY_SEEDS
        if tasks.catalogue()[case.task].ranks == 1
        if case.fault(seed).systemic and case.fault(seed).repairable
    ]
    healthy = [
        Plan(task.name, seed)
        for task in tasks.catalogue().values()
        for seed in HEALTHY_SEEDS
        if task.ranks == 1
    ]
    return faulty + healthy


def quick_plans() -> list[Plan]:
    """A handful, for a smoke test."""
    chosen = [plan for plan in plans() if plan.name in QUICK and plan.seed == FAULTY_SEEDS[0]]
    return [replace(plan, steps_most=QUICK_STEPS) for plan in chosen]


def find(name: str, seed: int) -> Plan:
    """The run of a case (task/fault) or of a healthy task."""
    cases = {case.name: case for case in faults.catalogue()}
    if name not in cases and name not in tasks.catalogue():
        raise SystemExit(f"no such run; there are {', '.join([*cases, *tasks.catalogue()])}")
    return Plan(name, seed, cases.get(name))
