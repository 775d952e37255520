"""PyTorch: what is measured each step is sent, and what the user allowed is done.

Nothing here may raise into the job, and broad excepts are rationed. So ``watch`` refuses up front
what the kernels cannot handle, ``step`` accepts any argument, and the one way left in which torch
fails, ``RuntimeError`` (its out-of-memory error is one), ends the watching with a warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from gradwatch import clock
from gradwatch.integrations.bench import Bench
from gradwatch.integrations.module_tree import Watched, describe
from gradwatch.integrations.on_request import OnRequest
from gradwatch.integrations.optimizer_facts import facts, learning_rate
from gradwatch.integrations.pilot import Pilot
from gradwatch.integrations.probe import Probe, is_measurable
from gradwatch.integrations.unread import Unread
from gradwatch.records import Measured, read_profiles, read_scalars
from gradwatch.values import Float32Array, global_norm
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
    monitor = monitor_of(run, watched, optimizer, means, first_step)
    if means.statistics or means.through_time is not None:
        monitor.extras = OnRequest(model, watched, means)
    return monitor


def monitor_of(
    run: Run,
    watched: Sequence[Watched],
    optimizer: torch.optim.Optimizer,
    means: Means,
    first_step: int,
) -> Monitor:
    """A monitor of these parameters."""
    bench = Bench.of(watched, optimizer, means, first_step)
    return Monitor(run, watched, bench, Pilot.of(run, watched, bench, means))


class Monitor:
    """Watches one model; made by ``Run.watch``.

    Call ``step`` once per update, between ``backward()`` and ``optimizer.step()`` (after
    ``scaler.unscale_`` under mixed precision). The update made after a step is measured at the
    next call, so the report of a step leaves one step later. On a GPU the host does not wait for
    the numbers of a step, it reads them at the next call; but it waits while the guard is armed,
    and always from level 2 of the autopilot on, because they may then change this update.
    """

    def __init__(self, run: Run, watched: Sequence[Watched], bench: Bench, pilot: Pilot) -> None:
        self._run = run
        self._bench = bench
        self._pilot = pilot
        self._parameters: list[torch.Tensor] = [item.parameter for item in watched]
        self._columns = run.add_layers([item.layer for item in watched])
        self._probe = Probe(self._parameters, bench.whole)
        self._next_step = bench.step
        self._reads_later = self._parameters[0].device.type in READ_LATER
        self._unread: Unread | None = None
        self._inherited: Unread | None = None
        self._held: Measured | None = None
        self._broken = False
        self.extras: OnRequest | None = None
        known = facts(bench.optimizer, self._probe.copy_interval)
        run.add_config({**known, "autopilot": pilot.level})

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
        try:
            with torch.no_grad(), self._bench.overlay.aside():
                rate = learning_rate(self._bench.optimizer)
                return self._step({"lr": rate, "loss": loss, **scalars}, profiles or {})
        except RuntimeError as error:
            self._end(error)
            return True

    def flush(self) -> None:
        """Report the newest step although its update has not been measured."""
        if self._bench.whole.is_shared:  # the other ranks may be gone
            self._unread = None
        try:
            self._catch_up()
        except RuntimeError as error:
            self._end(error)
        self._release()

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
        self._unread = self._held = None
        self._probe.forget()

    def _end(self, error: RuntimeError) -> None:
        self._let_go()
        self._bench.whole.leave()
        self._run.warn("monitor", f"watching the model has ended: {error}")

    def _let_go(self) -> None:
        self._broken = True
        self._probe.forget()
        if self.extras is not None:
            self.extras.leave()
        self._pilot.end()

    def _step(self, scalars: Mapping[str, Any], profiles: Mapping[str, Any]) -> bool:
        step, self._next_step = self._next_step, self._next_step + 1
        self._pilot.begin(step)
        gradients = self._bench.whole.local([one.grad for one in self._parameters])
        has_gradient = any(gradient is not None for gradient in gradients)
        if has_gradient:
            scalars = {**self._loss_scale(), **scalars}
        more = None if self.extras is None else self.extras.add
        sent = self._probe.measure(gradients, scalars, more)
        curves, unread = read_profiles(profiles)
        self._run.note_malformed(unread)
        self._catch_up()
        one = Unread(step, clock.now(), sent, curves, has_gradient)
        may_wait = self._reads_later and not self._pilot.looks_first
        measured = None if may_wait else self._look(one)
        verdict = self._pilot.follow()
        if verdict.update and (measured is not None or self._pilot.is_armed):
            measured = measured or self._look(one)
            verdict = self._pilot.judge(measured.scalars, gradients)
        one = replace(one, verdict=verdict, copied=self._probe.remember(step))
        if measured is None:
            self._unread = one
        else:
            self._hold(measured, one)
        return verdict.update

    def _catch_up(self) -> None:
        """Read the step before, if that was left for later."""
        one, self._unread = self._unread, None
        if one is not None:
            self._hold(self._look(one), one)

    def _look(self, one: Unread) -> Measured:
        measured = self._read(one)
        self._pilot.look(measured)
        return measured

    def _read(self, one: Unread) -> Measured:
        """The numbers of a step; with them comes the update of the step before."""
        arrays, fetched = one.sent.read()
        arrays = self._bench.whole.joined(arrays)
        self._complete(arrays.pop("update_norm", None))
        numbers, unread = read_scalars(fetched)
        self._run.note_malformed(unread)
        if one.has_gradient:
            numbers["grad_norm"] = global_norm(arrays["grad_norm"])
            if self._is_scaled:
                numbers.setdefault("found_inf", float(not math.isfinite(numbers["grad_norm"])))
        curves = one.sent.read_profiles()
        if self.extras is not None:
            scale = numbers.get("loss_scale", 1.0) if self._is_scaled else 1.0
            self.extras.complete(arrays, curves, scale or 1.0)
        profiles = {**read_profiles(curves)[0], **one.profiles}
        return Measured(one.step, one.time, numbers, self._columns, arrays, profiles)

    def _hold(self, measured: Measured, one: Unread) -> None:
        """Keep the report of a step until its update is known, if that is measured."""
        numbers = {**measured.scalars, **one.verdict.scalars}
        limits = (measured.scalars, one.verdict.scalars)  # of the framework, and of the guard
        if all("clip_norm" in scalars for scalars in limits):
            numbers["clip_norm"] = min(scalars["clip_norm"] for scalars in limits)
        if "lr" in numbers:
            numbers["lr"] = self._pilot.rate(numbers["lr"])
        self._held = replace(measured, scalars=numbers)
        if not one.copied:
            self._release()

    @property
    def _is_scaled(self) -> bool:
        return self._bench.scaler is not None and self._bench.scaler.is_enabled()

    def _loss_scale(self) -> dict[str, Any]:
        """As a tensor where there is one: to turn it into a number would wait for a GPU."""
        if not self._is_scaled:
            return {}
        scaler = self._bench.scaler
        tensor = getattr(scaler, "_get_scale_async", lambda: None)()
        return {"loss_scale": scaler.get_scale() if tensor is None else tensor}

    def _complete(self, update_norm: Float32Array | None) -> None:
        """Report the step before, now that its update is known."""
        if self._held is not None and update_norm is not None:
            arrays = {**self._held.arrays, "update_norm": update_norm}
            self._held = replace(self._held, arrays=arrays)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._pilot.learn(held)
            self._run.log_measured(held)
