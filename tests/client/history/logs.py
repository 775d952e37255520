"""Logs as TensorBoard's own writer leaves them, and a training that explodes in one layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

LAYERS = ("embedding", "rnn", "head")
STEPS, BREAKS = 120, 80
START = 1.7e9


def exploding() -> Iterator[tuple[int, dict[str, float]]]:
    """Step and scalars: loss, and the gradient norm of each layer, of which ``rnn`` explodes."""
    noise = np.random.default_rng(3).lognormal(0.0, 0.05, (STEPS, len(LAYERS) + 1))
    for step in range(STEPS):
        growth = 2.0 ** max(step - BREAKS, 0)
        norms = {
            f"gradients/{layer}": float(noise[step, place] * (growth if layer == "rnn" else 1.0))
            for place, layer in enumerate(LAYERS)
        }
        yield step, {"train/loss": float(2.0 * noise[step, -1] * growth**0.5), **norms}


def scalar(tag: str, value: float) -> Summary.Value:
    return Summary.Value(tag=tag, simple_value=value)


def histogram(tag: str, low: float, high: float, sum_squares: float) -> Summary.Value:
    counted = HistogramProto(min=low, max=high, sum_squares=sum_squares)
    return Summary.Value(tag=tag, histo=counted)


def write_events(
    folder: Path, *summaries: tuple[int, list[Summary.Value]], suffix: str = ""
) -> Path:
    """An event file with one event for each step; returns it."""
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for step, values in summaries:
        event = Event(wall_time=START + step, step=step, summary=Summary(value=values))
        writer.add_event(event)
    writer.close()
    return max(folder.glob(f"*tfevents*{suffix}"), key=lambda file: file.stat().st_mtime)


def write_exploding(folder: Path) -> Path:
    steps = [
        (step, [scalar(tag, value) for tag, value in values.items()])
        for step, values in exploding()
    ]
    return write_events(folder, *steps)
