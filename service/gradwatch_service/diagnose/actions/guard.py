"""Actions of the armed guard, which the client evaluates by itself: skip bad steps, or watch."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import healthy_norm
from gradwatch_service.diagnose.proposal import Proposal, absent, check, code_for
from gradwatch_service.diagnose.situation import Situation

SKIP_CAP = 4
_TORCH = (
    "monitor = run.watch(model, optimizer)   # holds the guard\n"
    "loss.backward()\n"
    "if monitor.step(loss=loss):             # False: skip this update\n"
    "    optimizer.step()"
)


def arm_guard(s: Situation) -> Proposal:
    """Leave the run as it is; the guard clips and skips what is far out of range."""
    plain = (
        "decision = run.decide(norm, step)\n"
        "gradients = [g * decision.clip for g in gradients]\n"
        "if decision.skip:\n"
        "    continue"
    )
    return Proposal(
        action="arm_guard",
        klass=1,
        title="Keep the guard armed and watch",
        text=(
            "Change nothing in the run. Let the guard clip what is over the healthy range and skip "
            "what is far out of it, so that no single step can do harm."
        ),
        code=code_for(s, torch=_TORCH, plain=plain),
        params={},
        undo="Disarm the guard; it leaves no trace.",
        verify=absent("loss-divergence"),
    )


def skip_step(s: Situation) -> Proposal:
    """Let the guard skip updates that are not finite or far above the usual norm."""
    limit = s.guard.skip_above
    far = "" if limit is None else f" or whose norm is over {limit:.3g}"
    test = "not np.isfinite(norm)" + ("" if limit is None else f" or norm > {limit:.4g}")
    plain = (
        f"if {test}:\n    continue  # skip this update, at most {SKIP_CAP} times in a row\n"
        "weights -= learning_rate * gradient"
    )
    return Proposal(
        action="skip_step",
        klass=1,
        title="Skip the update of a bad step",
        text=(
            f"Do not apply updates that are not finite{far}, at most {SKIP_CAP} in a row. One lost "
            "step costs nothing; one bad update can ruin the run."
        ),
        code=code_for(s, torch=_TORCH, plain=plain),
        params={
            "skip_above": limit,
            "skip_nonfinite": True,
            "max_consecutive_skips": SKIP_CAP,
        },
        undo="Disarm the guard; skipped steps leave no trace.",
        verify=check("grad_norm", "<=", limit or 10 * healthy_norm(s)),
    )
