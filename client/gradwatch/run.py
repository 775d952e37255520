"""The run as a training job holds it: log, watch, guard. Nothing here raises, blocks or prints."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, SupportsIndex, Unpack

import httpx
import numpy as np
from numpy.typing import NDArray

from gradwatch import clock, process
from gradwatch.actions import Actions
from gradwatch.autopilot.order import Order
from gradwatch.buffer import Counts
from gradwatch.config import Config
from gradwatch.guard import PROCEED, Decision, Guard, Skips, decide
from gradwatch.launch import Launch
from gradwatch.layers import Layer, LayerTable
from gradwatch.monitor import Holder, Monitor, Watcher
from gradwatch.news import News
from gradwatch.notices import Notices, logger
from gradwatch.off import OffMonitor
from gradwatch.records import (
    Event,
    LayerStats,
    Measured,
    Report,
    read_event,
    read_layer_stats,
    read_named,
    read_profiles,
    read_scalars,
)
from gradwatch.sender import Sender
from gradwatch.values import Number, as_float, as_json, as_step
from gradwatch.watching import WatchOptions, read_means


class Run:
    """One training run under watch; made by ``gradwatch.init``.

    Every method returns at once and none raises: what is malformed is left out, counted in
    ``counts`` and warned about once through ``logging``. Also a context manager that finishes the
    run, as failed if an exception leaves the block.
    """

    def __init__(
        self,
        launch: Launch,
        config: Config,
        layers: Sequence[Layer] = (),
        http: httpx.BaseTransport | None = None,
    ) -> None:
        self._launch = launch
        self._config = config
        self._http = http
        self._table = LayerTable().extended(layers)
        self._notices = Notices()
        self._lock = threading.RLock()
        self._sender = Sender(launch, config, http)
        self._watchers: list[Holder] = []
        self._next_step = launch.resume_step or 0
        self._skips = Skips()
        self._actions = Actions()
        self._first = True
        self._finished = False
        self._forked = False
        process.adopt(self)

    @property
    def id(self) -> str:
        """The id of the run (UUIDv7)."""
        return self._launch.run_id

    @property
    def counts(self) -> Counts:
        """Where this process's records are: observed = stored + rejected + dropped + pending."""
        return self._sender.buffer.counts

    @property
    def news(self) -> News:
        """Everything the newest receipts said, as one consistent value."""
        return self._sender.news

    @property
    def guard(self) -> Guard:
        """The guard that came with the newest receipt; unarmed before the first."""
        return self.news.guard

    @property
    def advice(self) -> list[Mapping[str, Any]]:
        """The service's advice for this run, best first, as of the newest receipt."""
        return list(self.news.advice)

    @property
    def alerts(self) -> list[Mapping[str, Any]]:
        """The alerts this process has heard of, each in its newest version."""
        return list(self.news.alerts)

    @property
    def actions(self) -> list[Mapping[str, Any]]:
        """What the autopilot did, oldest first: step, action, params, status, text; the last 1,000.

        ``status``: applied, verified, failed, undone or declined.
        """
        return self._actions.newest

    @property
    def autopilot(self) -> int:
        """The level that the settings allow: see ``watch``."""
        return self._config.autopilot

    @property
    def next_step(self) -> int:
        """The number after the last reported step."""
        return self._next_step

    def log(
        self,
        step: SupportsIndex | None = None,
        *,
        layers: LayerStats | None = None,
        profiles: Mapping[str, Any] | None = None,
        **scalars: Number,
    ) -> None:
        """Report what was measured in one step.

        Args:
            step: The step number, 0 … 2^53 - 1; the one after the last reported if left out.
            layers: ``{layer name: {statistic: value}}``, such as ``grad_norm``, ``weight_norm``,
                ``update_norm``; new names extend the layer table.
            profiles: ``{"time": values}``, norms of the gradient along an axis.
            scalars: ``loss``, ``lr``, ``grad_norm`` (before clipping), ``clip_norm`` and any other.
        """
        if self._sender.is_current_thread:
            return
        number = self._next_step if step is None else as_step(step)
        if number is None or self._finished:
            self._refuse("log() needs a step from 0 to 2^53 - 1" if number is None else _AFTER_END)
            return
        singles, bad_scalars = read_scalars(scalars)
        named, bad_layers = read_named(self._table, {} if layers is None else layers)
        table = self._table_with(named)
        stats, bad_stats = read_layer_stats(table, named)
        curves, bad_curves = read_profiles({} if profiles is None else profiles)
        self.note_malformed(bad_scalars + bad_layers + bad_stats + bad_curves)
        self._put(Report(number, clock.now(), table, singles, stats, curves, self._first))

    def log_measured(self, measured: Measured) -> None:
        """Report one step from arrays, for integrations."""
        if self._finished:
            self._refuse(_AFTER_END)
            return
        self._put(measured.report(self._table, first=self._first))

    def add_layers(self, layers: Sequence[Layer]) -> NDArray[np.int64]:
        """Extend the layer table, for integrations; returns the columns of these layers."""
        with self._lock:
            self._table = self._table.extended(layers)
            return np.array([self._table.columns[layer.name] for layer in layers], dtype=np.int64)

    def event(self, kind: str, step: SupportsIndex | None = None, **fields: Any) -> None:
        """Report that something happened.

        Args:
            kind: checkpoint, phase, lr, resume, advice, guard, note, …
            step: The step it belongs to, if any.
            fields: Anything else worth knowing, such as ``path`` or ``text``.
        """
        if self._sender.is_current_thread:
            return
        body = read_event(kind, step, fields)
        if body is None or self._finished:
            self._refuse("event() needs a kind, and a valid step" if body is None else _AFTER_END)
            return
        self._sender.put(Event(self._table, body | {"time": clock.now()}))

    def decide(self, grad_norm: Number, step: SupportsIndex | None = None) -> Decision:
        """Judge the step about to be made by the armed guard; a skip is reported as an event.

        Args:
            grad_norm: Global gradient norm before clipping.
            step: Its number; the one after the last reported if left out.
        """
        norm = as_float(grad_norm)
        number = self._next_step if step is None else as_step(step)
        if norm is None or number is None:
            self.note_malformed(1)
            return PROCEED
        decision = decide(self.guard, norm, number, self._skips)
        self._skips = self._skips.after(decision, number)
        self.note_decision(decision, norm, number)
        return decision

    def note_decision(self, decision: Decision, grad_norm: float, step: int) -> None:
        """Report that an update was skipped or its gradient mended, for integrations."""
        if decision.skip or decision.sanitise_to is not None:
            action = "skip_step" if decision.skip else "sanitise"
            self.event("guard", step, action=action, grad_norm=grad_norm)

    def watch(self, model: Any, optimizer: Any, **options: Unpack[WatchOptions]) -> Monitor:
        """Watch a PyTorch model: per-parameter norms, and the autopilot.

        Call ``monitor.step(loss=loss)`` between ``loss.backward()`` and ``optimizer.step()``.

        Args:
            model: The module.
            optimizer: Its optimizer; schedulers need not be known.
            options: All by keyword:
                ``autopilot``, what may be done without a person: 0 observe, 1 clip, skip and loss
                scale, 2 also the learning rate and the like, 3 also go back to a checkpoint
                (default: ``GRADWATCH_AUTOPILOT``, then 1);
                ``scaler``, the ``torch.amp.GradScaler`` of the job;
                ``save``, called as ``save(step)``, and ``load``, called as
                ``load(step, skip_data_to=...)`` or ``load(step)``, for checkpoints of level 3;
                ``save_every``, steps between two of them (default: 500);
                ``truncate``, called with the time steps to back-propagate through at most;
                ``through_time``, a recurrent module whose gradient is measured at each time step;
                ``statistics``: ``"norms"``, those of gradients and nothing else; ``"full"``, also
                maximum, mean, root mean square, zero and non-finite elements of gradients; or, at
                each step and at a price, the names of some of ``grad_zero``, ``act_grad_norm``,
                ``bias_grad_norm`` (default: norms of gradients, weights and updates);
                ``every``: norms of gradients come at each step, all else every so many steps
                (default: as often as 1 % of the time of a step allows).
        """
        try:
            pytorch = importlib.import_module("gradwatch.integrations.pytorch")
        except ImportError as error:
            self._notices.warn("watch", f"watch() needs PyTorch: {error}")
            return OffMonitor()
        means, bad = read_means(options, self._config.autopilot)
        if bad:
            self._notices.warn("means", f"watch() did not understand: {', '.join(bad)}")
        watcher: Watcher | None = pytorch.watch(self, model, optimizer, means, self._next_step)
        if watcher is None:
            return OffMonitor()
        self.add_watcher(watcher)
        return watcher

    def add_watcher(self, watcher: Holder) -> None:
        """Flush it before the run ends, for integrations."""
        self._watchers.append(watcher)

    def drop_watcher(self, watcher: Holder) -> None:
        """Think of it no more: it has reported everything, for integrations."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def note_order(self, order: Order, *, done: bool) -> None:
        """Report what became of an order of the autopilot, for integrations."""
        for kind, fields in self._actions.note(order, done=done):
            self.event(kind, order.step, **fields)

    def add_config(self, facts: Mapping[str, Any]) -> None:
        """Add facts to the config before the first report, for integrations; given ones stay."""
        config = {name: as_json(value) for name, value in facts.items()} | dict(self._launch.config)
        self._launch = replace(self._launch, config=config)
        self._sender.describe(self._launch)

    def note_malformed(self, values: int) -> None:
        """Count values that are no numbers and were left out, for integrations."""
        if values:
            self._sender.buffer.note_malformed(values)
            self._notices.warn("malformed", "a value that is no number was left out of a report")

    def warn(self, kind: str, message: str) -> None:
        """Log a warning once per kind, for integrations."""
        self._notices.warn(kind, message)

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until everything reported is acknowledged; False if that takes too long.

        Offline, until everything is on disk.
        """
        return self._sender.flush(timeout_seconds)

    def finish(self, state: str = "finished", reason: str | None = None) -> None:
        """End the run, as ``finished`` or ``failed``; waits at most two seconds for delivery."""
        self.begin_finish(state, reason)
        self.await_finish(self._config.exit_seconds)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.finish("failed", kind.__name__)

    def begin_finish(self, state: str, reason: str | None = None) -> None:
        """Start to deliver what is left; part of ``finish``."""
        if self._finished:
            return
        for watcher in self._watchers:
            watcher.flush()
        self._watchers.clear()
        self._finished = True
        farewell = {"state": state if state in ("finished", "failed") else "finished"}
        if reason is not None:
            farewell["reason"] = str(as_json(reason))[:1000]
        self._sender.close(None if self._forked else farewell)

    def await_finish(self, timeout_seconds: float) -> bool:
        """Wait for the delivery; part of ``finish``."""
        closed = self._sender.wait_closed(timeout_seconds)
        if closed:
            process.release(self)
        if not closed or self.counts.pending:
            logger.warning("gradwatch: %s", self._left_over())
        return closed

    def _left_over(self) -> str:
        """What has not been delivered, where it is, and what to do about it."""
        left = f"{self.counts.pending} records and the end of run {self.id} are not delivered"
        place = self._sender.waiting_in
        if place is None:
            return f"{left}; lost if the process ends now"
        return f"{left}; they wait in {place}: `gradwatch sync` sends them"

    def rebuild_after_fork(self) -> None:
        """Start afresh in a forked child: an empty queue and a writer of its own."""
        self._forked = True
        self._first = True
        self._lock = threading.RLock()
        self._sender.forsake()
        self._sender = Sender(self._launch, self._config, self._http)
        for watcher in self._watchers:
            watcher.forget()

    def _put(self, report: Report) -> None:
        self._first = False
        self._next_step = report.step + 1
        self._sender.put(report)

    def _table_with(self, names: Mapping[str, object]) -> LayerTable:
        if not names.keys() <= self._table.columns.keys():
            self.add_layers([Layer(name) for name in names])
        return self._table

    def _refuse(self, message: str) -> None:
        self._sender.buffer.refuse()
        self._notices.warn(message, message + "; the report was left out")


_AFTER_END = "the run is finished"
