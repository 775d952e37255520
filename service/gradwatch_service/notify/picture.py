"""A small picture of a run: loss and log2 gradient norm over its newest steps, the alert shaded."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from gradwatch_service.notify.message import Message

WIDTH, HEIGHT, FINER = 640, 320, 2
LEFT, RIGHT, TOP, BOTTOM, GAP = 64, 14, 24, 26, 34
PAPER, INK, FAINT, CURVE, SHADE, MARK = (
    "#ffffff",
    "#333333",
    "#d9d9d9",
    "#1f6fb5",
    "#fbe3e0",
    "#c0392b",
)
WIDE_RANGE, LARGEST = 100.0, 1e300
POINTS_MIN = 2

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """One curve and the room for it, from ``top`` to ``bottom``."""

    label: str
    values: tuple[float, ...]
    top: float
    bottom: float

    @property
    def low(self) -> float:
        """The lowest number, or a little below if there is only one."""
        low, high = self._ends
        return low if low < high else low - _little(low)

    @property
    def high(self) -> float:
        """The highest number, or a little above if there is only one."""
        low, high = self._ends
        return high if low < high else high + _little(high)

    def height(self, value: float) -> float:
        """Where a number lies."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)

    @property
    def _ends(self) -> tuple[float, float]:
        finite = [value for value in self.values if math.isfinite(value)]
        return (min(finite), max(finite)) if finite else (0.0, 0.0)


def _little(value: float) -> float:
    return max(0.5, abs(value) * 0.01)


def picture_of(message: Message) -> bytes | None:
    """A PNG; None if there is nothing to draw."""
    panels = _panels(message)
    if len(message.steps) < POINTS_MIN or not panels:
        return None
    image = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), PAPER)
    _Sheet(ImageDraw.Draw(image), message.steps).draw(panels, [*_spans(message)])
    file = io.BytesIO()
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(file, "PNG", optimize=True)
    return file.getvalue()


def _panels(message: Message) -> list[Panel]:
    loss, is_log = _loss(message.loss)
    named = [
        ("loss, log2" if is_log else "loss", loss),
        ("gradient norm, log2", message.log2_grad_norm),
    ]
    given = [
        (label, tuple(map(_drawable, values[: len(message.steps)])))
        for label, values in named
        if any(math.isfinite(value) for value in values)
    ]
    if not given:
        return []
    room = (HEIGHT - TOP - BOTTOM - GAP * (len(given) - 1)) / len(given)
    tops = [TOP + index * (room + GAP) for index in range(len(given))]
    return [
        Panel(label, values, top, top + room)
        for (label, values), top in zip(given, tops, strict=True)
    ]


def _drawable(value: float) -> float:
    """Numbers so large that their differences overflow count as infinite."""
    return value if abs(value) < LARGEST else value * math.inf


def _loss(values: Sequence[float]) -> tuple[tuple[float, ...], bool]:
    """The loss, as logarithms where it spans orders of magnitude."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) < WIDE_RANGE * min(finite):
        return tuple(values), False
    return tuple(math.log2(v) if math.isfinite(v) else v for v in values), True


def _spans(message: Message) -> Iterator[tuple[int, int]]:
    for subject in message.subjects:
        if subject.run_id == message.run_id:
            end = message.steps[-1] if subject.is_firing else subject.last_step
            yield subject.opened_step, end


class _Sheet:
    """The picture while it is drawn; everything is given in points of the finished one."""

    def __init__(self, draw: ImageDraw.ImageDraw, steps: Sequence[int]) -> None:
        self._draw = draw
        self._steps = steps
        self._font = ImageFont.load_default(11 * FINER)

    def draw(self, panels: Iterable[Panel], spans: Iterable[tuple[int, int]]) -> None:
        """Shades first, curves above."""
        spans = [*spans]
        for panel in panels:
            for opened, ended in spans:
                self._shade(panel, opened, ended)
            self._frame(panel)
            self._curve(panel)
        first, last = self._steps[0], self._steps[-1]
        self._text((LEFT, HEIGHT - 6), f"step {first:,}", "ls")
        self._text((WIDTH - RIGHT, HEIGHT - 6), f"step {last:,}", "rs")
        if spans:
            since = f"alert from step {min(opened for opened, _ in spans):,}"
            self._text((WIDTH - RIGHT, TOP - 6), since, "rs", MARK)

    def _across(self, step: float) -> float:
        first, last = self._steps[0], self._steps[-1]
        share = (step - first) / max(last - first, 1)
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def _shade(self, panel: Panel, opened: int, ended: int) -> None:
        if ended < self._steps[0]:
            return
        left = self._across(opened)
        right = max(self._across(ended), left + 1)
        self._draw.rectangle(_finer((left, panel.top), (right, panel.bottom)), fill=SHADE)
        if opened >= self._steps[0]:
            self._line([(left, panel.top), (left, panel.bottom)], MARK, 1)

    def _frame(self, panel: Panel) -> None:
        for value in (panel.low, panel.high):
            y = panel.height(value)
            self._line([(LEFT, y), (WIDTH - RIGHT, y)], FAINT, 1)
            self._text((LEFT - 6, y), f"{value:.3g}", "rm")
        self._text((LEFT, panel.top - 6), panel.label, "ls")

    def _curve(self, panel: Panel) -> None:
        """Pieces of finite numbers; what is none leaves a mark at the upper edge."""
        piece: list[Point] = []
        for step, value in zip(self._steps, panel.values, strict=False):
            if math.isfinite(value):
                piece.append((self._across(step), panel.height(value)))
                continue
            self._piece(piece)
            piece = []
            if math.isinf(value):
                self._dot(self._across(step), panel.top)
        self._piece(piece)

    def _piece(self, points: list[Point]) -> None:
        if len(points) == 1:
            points = [points[0], (points[0][0] + 1, points[0][1])]
        if points:
            self._line(points, CURVE, 2)

    def _line(self, points: Iterable[Point], colour: str, width: float) -> None:
        self._draw.line(_finer(*points), fill=colour, width=round(width * FINER), joint="curve")

    def _dot(self, x: float, y: float) -> None:
        self._draw.ellipse(_finer((x - 2, y - 2), (x + 2, y + 2)), fill=MARK)

    def _text(self, at: Point, text: str, anchor: str, colour: str = INK) -> None:
        (place,) = _finer(at)
        self._draw.text(place, text, fill=colour, font=self._font, anchor=anchor)


def _finer(*points: Point) -> list[Point]:
    return [(x * FINER, y * FINER) for x, y in points]
