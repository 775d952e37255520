"""Runs the senders in a process of its own, and sums up what they measured."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.load.streams import Stream
from benchmarks.load.wire import Meter, Span, drive

MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """What came of a load: rates, latencies in seconds, what the server spent.

    ``requests``: reports, where one takes several. ``acknowledged``: those of each stream in all,
    start and warm-up included.
    """

    seconds: float
    requests: int
    floats: int
    p50: float
    p99: float
    statuses: Mapping[int, int]
    refusal: str
    cpu_seconds: float
    resident_bytes: int
    acknowledged: Sequence[int]

    @property
    def floats_a_second(self) -> float:
        """Values acknowledged a second."""
        return self.floats / self.seconds

    @property
    def requests_a_second(self) -> float:
        """Requests acknowledged a second."""
        return (self.requests - self.errors) / self.seconds

    @property
    def errors(self) -> int:
        """Requests answered with an error."""
        return sum(count for status, count in self.statuses.items() if status >= 300)

    @property
    def cpu_a_float(self) -> float:
        """Processor seconds of the server, its database included, for each value."""
        return self.cpu_seconds / max(self.floats, 1)

    @property
    def cpu_a_request(self) -> float:
        """Processor seconds of the server, its database included, for each request."""
        return self.cpu_seconds / max(self.requests, 1)


def measure(
    port: int,
    pids: Sequence[int],
    streams: Callable[[], Sequence[Stream]],
    span: Span,
) -> Measured:
    """Send the streams for this long; ``streams`` is called in the sending process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, _leave_interrupts) as pool:
        return pool.submit(_measure, port, pids, streams, span).result()


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _measure(
    port: int,
    pids: Sequence[int],
    streams: Callable[[], Sequence[Stream]],
    span: Span,
) -> Measured:
    made = streams()
    return summary(drive(port, made, span, pids), [one.sent for one in made])


def summary(meter: Meter, acknowledged: Sequence[int]) -> Measured:
    """What a meter has counted, with the latencies' quantiles."""
    latencies = np.array(meter.latencies or [np.nan])
    p50, p99 = np.quantile(latencies, (0.5, 0.99))
    return Measured(
        meter.seconds, len(meter.latencies), meter.floats, float(p50), float(p99),
        dict(meter.statuses), meter.refusal, meter.spent.cpu_seconds, meter.spent.resident_bytes,
        acknowledged,
    )  # fmt: skip
