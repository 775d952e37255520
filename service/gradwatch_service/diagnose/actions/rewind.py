"""Actions on the course of the run: go back to a checkpoint, leave data out."""

from __future__ import annotations

from gradwatch_service.diagnose.actions.gradient import healthy_norm
from gradwatch_service.diagnose.proposal import Proposal, absent, check, code_for
from gradwatch_service.diagnose.situation import Situation

BEFORE_ONSET = 100
AFTER_ONSET = 200


def latest_return(s: Situation) -> int:
    """The step 100 reports before the onset, as growth begins before it is found; or the first."""
    return max(s.onset_step - BEFORE_ONSET * s.increment, s.first_step)


def return_point(s: Situation) -> int | None:
    """Step of the newest healthy checkpoint at least 100 reports before the onset, or the first."""
    return max((step for step in s.checkpoints if step <= latest_return(s)), default=None)


def rollback(s: Situation) -> Proposal:
    """Go back to the newest healthy checkpoint at least 100 reports before the onset."""
    latest, target = latest_return(s), return_point(s)
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
        verify=check("grad_norm", "<=", healthy_norm(s)),
        preconditions=("the checkpoint was healthy for 64 steps", "save the present state first"),
    )


def skip_batches(s: Situation) -> Proposal:
    """Leave out the batches around the onset and look at them."""
    first = s.onset_step
    last = first + max(s.high_reports - 1, 0) * s.increment
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
        verify=absent("loss-spike"),
    )
