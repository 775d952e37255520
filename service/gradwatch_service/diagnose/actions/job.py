"""Things to do with the job itself: save it, stop it, look into it, take a machine out of it."""

from __future__ import annotations

from gradwatch_service.diagnose.proposal import Proposal, absent, code_for
from gradwatch_service.diagnose.situation import Situation


def checkpoint_now(s: Situation) -> Proposal:
    """Save the state while it is still good."""
    torch = (
        'state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}\n'
        f'torch.save(state, "checkpoint-{s.step}.pt")'
    )
    return Proposal(
        action="checkpoint_now",
        klass=3,
        title="Save a checkpoint now",
        text=(
            f"Save the weights and the optimizer's state. A warning has begun at step "
            f"{s.onset_step} and all weights are finite: this is the latest state to come back to."
        ),
        code=code_for(s, torch=torch, plain="save_checkpoint(weights, optimizer)"),
        params={},
        undo="Delete the file.",
        verify=absent("non-finite"),
    )


def stop(s: Situation) -> Proposal:
    """End the run: its weights are lost and there is nothing to go back to."""
    return Proposal(
        action="stop",
        klass=4,
        title="Stop the run",
        text=(
            f"Weights are no longer finite since step {s.onset_step}, and no checkpoint from "
            "before is known. Nothing the run does from here on is worth its cost: stop it, repair "
            "the cause and start again."
        ),
        code=code_for(s, torch='raise SystemExit("weights are not finite")', plain="break"),
        params={},
        undo="Start the run again.",
        verify=absent("non-finite"),
    )


def quarantine_rank(s: Situation, writer: str | None) -> Proposal:
    """Take the machine whose numbers differ out of the job and test it."""
    which = writer or "the rank that differs"
    torch = (
        "# on the suspect machine: the same multiplication twice must give the same bits\n"
        'a = torch.randn(4096, 4096, device="cuda")\n'
        "assert all(torch.equal(a @ a, a @ a) for _ in range(100))"
    )
    plain = (
        "a = np.random.default_rng(0).standard_normal((4096, 4096))\nassert (a @ a == a @ a).all()"
    )
    return Proposal(
        action="quarantine_rank",
        klass=4,
        title=f"Take {which} out of the job",
        text=(
            f"Run the job without the machine of {which} and test that machine: memory, "
            "accelerator, links, its shard of the data. Replicas that have drifted apart never "
            "agree again by themselves."
        ),
        code=code_for(s, torch=torch, plain=plain),
        params={"writer": writer},
        undo="Take the machine back in once it has passed its tests.",
        verify=absent("replica-divergence"),
    )


def check_job(s: Situation) -> Proposal:
    """Find out what the processes of a silent or slow job are waiting for."""
    shell = (
        "# py-spy dump --pid <pid>      what each process is doing; once per rank\n"
        "# TORCH_NCCL_TRACE_BUFFER_SIZE=2000 keeps a flight record of the collectives\n"
    )
    torch = (
        f"{shell}import faulthandler\n"
        "faulthandler.dump_traceback_later(600, repeat=True)   # every 10 minutes, to stderr"
    )
    return Proposal(
        action="check_job",
        klass=4,
        title="Look what the job is waiting for",
        text=(
            "Dump the stacks of all its processes: a rank in a collective waits for one that is "
            "somewhere else. Usual suspects: one rank out of memory or killed, a data loader "
            "without workers, a full disk, a network file system, a throttled accelerator."
        ),
        code=code_for(s, torch=torch, plain=torch),
        params={},
        undo="Nothing to undo.",
        verify=absent("stale-run"),
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
        verify=absent("non-finite"),
    )
