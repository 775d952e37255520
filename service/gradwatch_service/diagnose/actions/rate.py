"""Actions on the learning rate: scale it, cap it, warm it up."""

from __future__ import annotations

from collections.abc import Mapping

from gradwatch_service.diagnose.proposal import Proposal, absent, check, code_for
from gradwatch_service.diagnose.situation import Situation
from gradwatch_service.domain import JsonValue

TARGET_RATIO = 0.01
LEAST_FACTOR = 2.0**-6
GOOD_RATIO = 3e-4  # an update this large against its weights learns, and harms nothing
RAISE = (2.0, 1000.0)
_UNDO = "After 512 good steps restore the old rate once; scale it down again if the alert returns."


def reducing_factor(uw: float | None) -> float:
    """clip(.01 / uw, 1/64, .5); .5 where the update ratio is unknown.

    1/64 is as far as the client goes: a net whose updates are as large as its weights is not helped
    by a tenth of its rate.
    """
    return 0.5 if not uw else min(max(TARGET_RATIO / uw, LEAST_FACTOR), 0.5)


def raising_factor(uw: float | None) -> float:
    """clip(3e-4 / uw, 2, 1000); 10 where the update ratio is unknown."""
    least, most = RAISE
    return 10.0 if not uw else min(max(GOOD_RATIO / uw, least), most)


def calmed(s: Situation, factor: float) -> Mapping[str, JsonValue]:
    """The check that updates have become small enough; where they are, that the finding is gone."""
    if s.uw is not None and s.uw > TARGET_RATIO:
        return check("update_ratio", "<", max(TARGET_RATIO, 1.5 * factor * s.uw))
    return absent(s.lead) if s.lead else check("update_ratio", "<", TARGET_RATIO)


def scale_lr(s: Situation, factor: float) -> Proposal:
    """Multiply the learning rate by ``factor``."""
    now = "" if s.lr is None else f", from {s.lr:.3g} to {s.lr * factor:.3g}"
    ratio = (
        "" if s.uw is None else f" Updates are {s.uw:.2g} of the weights now; about 0.001 is usual."
    )
    torch = (
        "for group in optimizer.param_groups:\n"
        f'    group["lr"] *= {factor:.4g}\n'
        "# a scheduler would undo this: scale its base rates as well\n"
        f"scheduler.base_lrs = [lr * {factor:.4g} for lr in scheduler.base_lrs]"
    )
    down = factor < 1
    return Proposal(
        action="scale_lr",
        klass=2,
        title=f"Multiply the learning rate by {factor:.3g}",
        text=f"Multiply the learning rate by {factor:.3g}{now}.{ratio}",
        code=code_for(s, torch=torch, plain=f"learning_rate *= {factor:.4g}"),
        params={"factor": factor, "lr": None if s.lr is None else s.lr * factor},
        undo=_UNDO if down else "Go back to the old rate if the loss rises.",
        verify=calmed(s, factor) if down else check("update_ratio", ">", 1e-6),
    )


def cap_lr(s: Situation, limit: float) -> Proposal:
    """Never let the schedule go over ``limit``."""
    torch = (
        "# after every scheduler.step()\n"
        "for group in optimizer.param_groups:\n"
        f'    group["lr"] = min(group["lr"], {limit:.4g})'
    )
    return Proposal(
        action="cap_lr",
        klass=2,
        title=f"Cap the learning rate at {limit:.3g}",
        text=(
            f"Keep the learning rate at or below {limit:.3g}, the level at which this run was "
            "stable. Scaling it once is not enough where a schedule raises it again."
        ),
        code=code_for(s, torch=torch, plain=f"learning_rate = min(learning_rate, {limit:.4g})"),
        params={"max_lr": limit},
        undo="Remove the cap once the schedule has fallen below it.",
        verify=calmed(s, limit / s.lr if s.lr else 1.0),
    )


def warmup_steps(s: Situation, least: int = 100, most: int = 10_000) -> int:
    """max(100, 2 / (1 - β₂)) steps: the time Adam's second moment needs to settle."""
    beta2 = s.facts.beta2 if s.facts.beta2 is not None else (0.999 if s.facts.adaptive else 0.0)
    settled = 2 / (1 - beta2) if 0 <= beta2 < 1 else least
    return int(min(max(least, round(settled)), most))


def warmup_lr(s: Situation, steps: int, target: float | None, start: str) -> Proposal:
    """Raise the learning rate from 1 % of ``target`` over ``steps`` steps, from ``start``."""
    to = "its full value" if target is None else f"{target:.3g}"
    torch = (
        "warmup = torch.optim.lr_scheduler.LinearLR(\n"
        f"    optimizer, start_factor=0.01, total_iters={steps})\n"
        "# call warmup.step() after every optimizer.step()"
    )
    plain = f"learning_rate = target_rate * min(1.0, 0.01 + steps_since_start / {steps})"
    return Proposal(
        action="warmup_lr",
        klass=2,
        title=f"Warm the learning rate up over {steps} steps",
        text=f"Raise the learning rate slowly to {to} over {steps} steps, {start}.",
        code=code_for(s, torch=torch, plain=plain),
        params={"steps": steps, "target_lr": target, "start_factor": 0.01},
        undo="Remove the warm-up scheduler; nothing else changes.",
        verify=check("update_ratio", "<", TARGET_RATIO, within_steps=steps),
    )
