import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gradwatch_service.notify.message import Message
from gradwatch_service.notify.picture import CURVE, MARK, SHADE, picture_of
from tests.messages import SUBJECT, message, over, with_curves

CURVES = slice(26, 292)  # below the labels
VALUES = st.lists(st.floats(), min_size=2, max_size=40)


def drawn(given: Message) -> Image.Image:
    png = picture_of(given)
    assert png is not None
    return Image.open(io.BytesIO(png)).convert("RGB")


def share(image: Image.Image, colour: str, left: int, right: int) -> float:
    """How much of a stretch of the curves is tinted like this colour: grey is not tinted at all."""
    pixels = np.asarray(image, np.int64)[CURVES, left:right]
    red, _, blue = bytes.fromhex(colour[1:])
    tint = pixels[..., 0] - pixels[..., 2]
    return float(np.mean(np.abs(tint - (red - blue)) < abs(red - blue) / 3))


def test_it_shows_both_curves_and_where_the_alert_is() -> None:
    """Steps 120 to 219, the alert from 212 on: at 92 of 100 of the width."""
    image = drawn(with_curves(message()))
    assert image.size == (640, 320)
    assert share(image, CURVE, 70, 580) > 0
    assert share(image, SHADE, 70, 575) == 0
    assert share(image, SHADE, 590, 620) > 0.5
    assert share(image, MARK, 580, 640) > 0


def test_an_alert_that_is_over_ends_in_the_picture() -> None:
    ended = over(replace(SUBJECT, opened_step=140, last_step=150))
    image = drawn(with_curves(message("resolved", ended)))
    assert share(image, SHADE, 190, 225) > 0.5
    assert share(image, SHADE, 260, 620) == 0


def test_an_alert_of_before_is_not_shaded() -> None:
    ended = over(replace(SUBJECT, opened_step=10, last_step=20))
    assert share(drawn(with_curves(message("resolved", ended))), SHADE, 70, 620) == 0


@pytest.mark.parametrize(
    "empty",
    [
        {"steps": ()},
        {"steps": (7,)},
        {"loss": (), "log2_grad_norm": ()},
        {"loss": (math.nan,) * 100, "log2_grad_norm": (math.inf,) * 100},
    ],
)
def test_nothing_to_draw_is_no_picture(empty: dict[str, tuple[float, ...]]) -> None:
    assert picture_of(replace(with_curves(message()), **empty)) is None


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES)
def test_whatever_is_reported_can_be_drawn(loss: list[float], norm: list[float]) -> None:
    steps = tuple(range(200, 200 + max(len(loss), len(norm))))
    given_now = replace(message(), steps=steps, loss=tuple(loss), log2_grad_norm=tuple(norm))
    png = picture_of(given_now)
    assert png is None or png.startswith(b"\x89PNG")
