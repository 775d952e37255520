"""Actions on the course of the run: go back to a checkpoint, leave data out."""

from __future__ import annotations

from gradwatch_service.diagnose.proposal import Proposal, check, code_for
from gradwatch_service.diagnose.situation import Situation

BEFORE_ONSET = 100
AFTER_ONSET = 200


def rollback(s: Situation) -> Proposal:
    """Go back to the newest checkpoint at least 100 reports before the onset."""
    latest = max(s.onset_step - BEFORE_ONSET * s.increment, 0)
    known = [mark.step for mark in s.marks if mark.kind == "checkpoint" and mark.step <= latest]
    target = max(known) if known else None
    resume = s.onset_step + AFTER_ONSET * s.increment
    where = f"at step {target}" if target is not None else f"saved at or before step {latest}"
    torch = (
        f'state = torch.load("checkpoint.pt")   # {where}\n'
        'model.load_state_dict(state["model"])\n'
        'optimizer.load_state_dict(state["optimizer"])'
    )
    return Proposal(
        action="rollback",
        klass=3,
        title=f"Go back to the checkpoint {where}",
        text=(
            f"Load the newest checkpoint {where}, 100 reports before the trouble began, with the "
            f"change above in place, and leave out the data up to step {resume}. Without one, "
            "start again."
        ),
        code=code_for(s, torch=torch, plain=f"weights, optimizer = load_checkpoint()   # {where}"),
        params={"to_step": target, "latest_step": latest, "skip_data_to_step": resume},
        undo="Load the checkpoint of the present step.",
        verify=check("grad_norm", "<=", s.guard.max_norm),
        preconditions=("the checkpoint was healthy for 64 steps", "save the present state first"),
    )


def skip_batches(s: Situation) -> Proposal:
    """Leave out the batches around the onset and look at them."""
    first, last = s.onset_step, s.step
    which = f"step {first}" if first == last else f"steps {first} to {last}"
    return Proposal(
        action="skip_batches",
        klass=3,
        title=f"Leave out the data of {which}",
        text=(
            f"Look at the batches of {which}: wrong labels, empty or very long "
            "samples, values out of range. Leave them out when this data comes round again."
        ),
        code=code_for(
            s,
            torch=f"if {first} <= step <= {last}:\n    continue   # in the data loop",
            plain=f"if {first} <= step <= {last}:\n    continue   # in the training loop",
        ),
        params={"from_step": first, "to_step": last},
        undo="Put the batches back once they are repaired.",
        verify=check("loss-spike", "absent", None),
    )


def check_input(s: Situation) -> Proposal:
    """Find the operation or the sample that made the first non-finite number."""
    torch = (
        "assert torch.isfinite(inputs).all(), batch_ids\n"
        "with torch.autograd.detect_anomaly():   # names the operation; slow, for this batch only\n"
        "    loss = compute_loss(model(inputs), targets)\n"
        "    loss.backward()"
    )
    plain = "assert np.isfinite(inputs).all(), batch_ids\nwith np.errstate(all='raise'):\n    ..."
    return Proposal(
        action="check_input",
        klass=4,
        title="Check the batch, and divisions, logarithms and roots of zero",
        text=(
            f"Run the batch of step {s.onset_step} alone with checks on. Usual suspects: NaN in "
            "the data, log(0), 0/0, the derivative of a root at 0, a softmax over an empty mask. "
            "Add a small epsilon there."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"step": s.onset_step},
        undo="Remove the checks.",
        verify=check("non-finite", "absent", None),
    )
