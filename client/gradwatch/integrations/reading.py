"""The numbers of a PyTorch step on the host, as they are reported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradwatch.integrations import full
from gradwatch.integrations.bench import Bench
from gradwatch.integrations.module_tree import Watched
from gradwatch.integrations.on_request import OnRequest
from gradwatch.integrations.unread import Unread
from gradwatch.records import Measured, read_profiles, read_scalars
from gradwatch.values import global_norm

if TYPE_CHECKING:
    from gradwatch.run import Run


class Reader:
    """Reads the numbers of one monitor; ``extras`` were asked for."""

    def __init__(
        self, run: Run, watched: Sequence[Watched], bench: Bench, extras: OnRequest | None
    ) -> None:
        self._run = run
        self._bench = bench
        self._columns = run.add_layers([item.layer for item in watched])
        self._sizes = [math.prod(item.layer.shape) for item in watched]
        self.extras = extras

    def read(self, one: Unread) -> Measured:
        """The numbers of a step; with them comes the update of the step before."""
        arrays, fetched = one.sent.read()
        arrays = self._bench.whole.joined(arrays)
        full.complete(arrays, self._sizes)
        numbers, unread = read_scalars(fetched)
        self._run.note_malformed(unread)
        if one.has_gradient:
            numbers["grad_norm"] = global_norm(arrays["grad_norm"])
            if self._bench.is_scaled:
                numbers.setdefault("found_inf", float(not math.isfinite(numbers["grad_norm"])))
        curves = one.sent.read_profiles()
        if self.extras is not None:
            scale = numbers.get("loss_scale", 1.0) if self._bench.is_scaled else 1.0
            self.extras.complete(arrays, curves, scale or 1.0)
        profiles = {**read_profiles(curves)[0], **one.profiles}
        return Measured(one.step, one.time, numbers, self._columns, arrays, profiles)

    def is_sound(self, measured: Measured) -> bool:
        """Whether loss and gradient are finite; where ranks measure together, all say the same."""
        names = ("grad_norm",) if self._bench.whole.is_shared else ("loss", "grad_norm")
        return all(math.isfinite(measured.scalars.get(name, 0.0)) for name in names)
