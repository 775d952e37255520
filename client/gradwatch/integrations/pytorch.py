"""PyTorch: what is measured each step is sent, and what the user allowed is done.

Nothing here may raise into the job, and broad excepts are rationed. So ``watch`` refuses up front
what the kernels cannot handle, ``step`` accepts any argument, and the one way left in which torch
fails, ``RuntimeError`` (its out-of-memory error is one), ends the watching with a warning.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from gradwatch import clock
from gradwatch.integrations.bench import Bench
from gradwatch.integrations.held import Held
from gradwatch.integrations.module_tree import Watched, describe
from gradwatch.integrations.on_request import OnRequest
from gradwatch.integrations.optimizer_facts import facts, learning_rate
from gradwatch.integrations.pilot import Pilot
from gradwatch.integrations.probe import Probe, is_measurable, pace_of
from gradwatch.integrations.reading import Reader
from gradwatch.integrations.unread import Unread
from gradwatch.records import Measured, read_profiles
from gradwatch.watching import Means

if TYPE_CHECKING:
    from gradwatch.run import Run

READ_LATER = ("cuda",)  # ROCm too; elsewhere there is nothing to wait for, or no event to ask


def watch(
    run: Run, model: object, optimizer: object, means: Means, first_step: int
) -> Monitor | None:
    """A monitor of the model's trainable parameters; None, after a warning, if it cannot be one."""
    if not isinstance(model, torch.nn.Module) or not isinstance(optimizer, torch.optim.Optimizer):
        run.warn("watch", "watch() needs a torch.nn.Module and a torch.optim.Optimizer")
        return None
    if any(map(torch.nn.parameter.is_lazy, model.parameters())):
        run.warn("watch", "watch() must come after the first forward pass of a lazy module")
        return None
    watched = [item for item in describe(model) if is_measurable(item.parameter)]
    if not watched:
        run.warn("watch", "watch() found no trainable floating-point parameters on a local device")
        return None
    bench = Bench.of(watched, optimizer, means, first_step)
    extras = OnRequest(model, watched, means) if means.listens else None
    return Monitor(run, watched, bench, means, extras)


class Monitor:
    """Watches one model; made by ``Run.watch``.

    Call ``step`` once per update, between ``backward()`` and ``optimizer.step()`` (after
    ``scaler.unscale_`` under mixed precision). The update made after a step is measured at the
    next call, so the report of a step leaves one step later. On a GPU the host does not wait for
    the numbers of a step, it reads them at the next call, and a fused optimizer is told on the
    device what the guard says. The host waits while the guard is armed and the optimizer is none of
    those, and always from level 2 of the autopilot on: the numbers may then change this update.
    """

    def __init__(
        self,
        run: Run,
        watched: Sequence[Watched],
        bench: Bench,
        means: Means,
        extras: OnRequest | None = None,
    ) -> None:
        self._run = run
        self._bench = bench
        self._pilot = pilot = Pilot.of(run, watched, bench, means)
        self._parameters: list[torch.Tensor] = [item.parameter for item in watched]
        self._reader = Reader(run, watched, bench, extras)
        self._probe = Probe(self._parameters, bench.whole, is_full=means.is_full)
        self._pace = pace_of(self._parameters, bench, means)
        self._next_step = bench.step
        self._reads_later = self._parameters[0].device.type in READ_LATER
        self._unread: Unread | None = None
        self._inherited: Unread | None = None
        self._held = Held(run, pilot)
        self._waited = 0.0  # seconds of this call in which the device was to do something
        self._is_urgent = False
        self._broken = False
        every = self._pace.every
        sampled = {"weight_norm_every": every, "update_norm_every": every * self._probe.copies}
        run.add_config({**facts(bench.optimizer), **sampled, "autopilot": pilot.level})

    @property
    def stopped(self) -> bool:
        """Whether the run cannot go on: leave the loop."""
        return self._pilot.stopped

    @property
    def applied(self) -> tuple[str, ...]:
        """The actions of the autopilot that are in force."""
        return self._pilot.applied

    @property
    def bptt_steps(self) -> int | None:
        """At most so many time steps should be back-propagated through; None: no limit.

        Reading it tells the autopilot that this loop obeys it.
        """
        return self._bench.truncation.read()

    def step(
        self, loss: Any = None, *, profiles: Mapping[str, Any] | None = None, **scalars: Any
    ) -> bool:
        """Collect the statistics of one step, do what the user allowed, and report.

        Args:
            loss: The loss, a number or a one-element tensor (fetched together with the norms).
            profiles: ``{"time": values}``, norms of ∂loss/∂h_t of a recurrent net, the earliest
                time step first.
            scalars: More of the kind, such as ``loss_scale``, ``batch_size``, ``seq_len``.

        Returns:
            False if this update must not be made: do not call ``optimizer.step()``.
        """
        if self._broken:
            return True
        begun = time.perf_counter()
        try:
            with torch.no_grad(), self._bench.overlay.aside():
                rate = learning_rate(self._bench.optimizer)
                update = self._step({"lr": rate, "loss": loss, **scalars}, profiles or {})
        except RuntimeError as error:
            self._end(error)
            return True
        self._adapt(begun)
        return update

    def flush(self) -> None:
        """Report the newest step although its update has not been measured."""
        if self._bench.whole.is_shared:  # the other ranks may be gone
            self._unread = None
        try:
            self._catch_up()
        except RuntimeError as error:
            self._end(error)
        self._held.release()

    def close(self) -> None:
        """Report the newest step, take every change back, and let go of the model and the run.

        After that ``step`` does nothing. The callbacks do this when training ends. Groups of ranks
        stay open: the next one would get the name, and the dead addresses, of one that was left.
        """
        self.flush()
        self._let_go()
        self._run.drop_watcher(self)

    def forget(self) -> None:
        """Drop the report held back and the copy: this is a fork, the parent has them."""
        # Freeing pinned memory would call CUDA, which a fork may not.
        self._inherited = self._unread or self._inherited
        self._unread = None
        self._held.forget()
        self._probe.forget()

    def _end(self, error: RuntimeError) -> None:
        self._let_go()
        self._bench.whole.leave()
        self._run.warn("monitor", f"watching the model has ended: {error}")

    def _let_go(self) -> None:
        self._broken = True
        self._probe.forget()
        if self._reader.extras is not None:
            self._reader.extras.leave()
        self._pilot.end()

    def _adapt(self, begun: float) -> None:
        """Count what this call took, without what it waited for the device."""
        waited, self._waited = self._waited, 0.0
        change = self._pace.note(begun, time.perf_counter() - begun - waited)
        if change is not None:
            told = {"every": change.every, "share": change.share, "text": change.text}
            self._run.event("sampling", self._bench.step, **told)

    def _step(self, scalars: Mapping[str, Any], profiles: Mapping[str, Any]) -> bool:
        step, self._next_step = self._next_step, self._next_step + 1
        self._pilot.begin(step)
        gradients = self._bench.whole.local([one.grad for one in self._parameters])
        has_gradient = any(gradient is not None for gradient in gradients)
        if has_gradient:
            scalars = {**self._bench.loss_scale(), **scalars}
        extras = self._reader.extras
        more = None if extras is None else extras.add
        is_due = self._pace.is_due(step) or self._is_urgent
        self._is_urgent = False
        sent = self._probe.measure(gradients, scalars, more, is_due=is_due)
        curves, unread = read_profiles(profiles)
        self._run.note_malformed(unread)
        self._catch_up()
        one = Unread(step, clock.now(), sent, curves, has_gradient)
        one, measured = self._judge(one, gradients)
        one = replace(one, copied=is_due and self._probe.remember())
        if measured is None:
            self._unread = one
        else:
            self._held.hold(measured, one)
        return one.verdict.update

    def _judge(
        self, one: Unread, gradients: Sequence[torch.Tensor | None]
    ) -> tuple[Unread, Measured | None]:
        """What becomes of this step; and its numbers, if they had to be looked at for that."""
        may_wait = self._reads_later and not self._pilot.looks_first
        measured = None if may_wait else self._look(one, is_now=True)
        verdict = self._pilot.follow()
        if not verdict.update or (measured is None and not self._pilot.is_armed):
            return replace(one, verdict=verdict), measured
        if measured is None:
            limits = self._pilot.judge_unseen(one.sent, gradients)
            if limits is not None:
                return replace(one, limits=limits), None
            measured = self._look(one, is_now=True)
        return replace(one, verdict=self._pilot.judge(measured.scalars, gradients)), measured

    def _catch_up(self) -> None:
        """Read the step before, if that was left for later."""
        one, self._unread = self._unread, None
        if one is None:
            return
        measured = self._look(one, is_now=False)
        if one.limits is not None:
            one = replace(one, verdict=self._pilot.hear(one.limits, measured.scalars, one.step))
        self._held.hold(measured, one)

    def _look(self, one: Unread, *, is_now: bool) -> Measured:
        """The numbers of a step; where they are no numbers, those of the weights belong to them."""
        measured = self._reader.read(one)
        self._waited += one.sent.waited
        arrays = dict(measured.arrays)
        self._held.complete(arrays.pop("update_norm", None))
        if "weight_norm" not in arrays and not self._reader.is_sound(measured):
            if is_now:
                arrays |= self._probe.weights()
            else:
                self._is_urgent = True
        measured = replace(measured, arrays=arrays)
        self._pilot.look(measured)
        return measured
