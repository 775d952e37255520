"""The gradient's way back through time: its norm at each time step of a recurrent PyTorch module.

A cell (``RNNCell``, ``LSTMCell``, ``GRUCell``, or any module called once a time step) shows
∂loss/∂h_t itself. A fused ``RNN``, ``LSTM`` or ``GRU`` keeps it inside; there ∂loss/∂x_t is taken,
its input's, which follows it through matrices that are the same at every time step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class ThroughTime:
    """Listens to one recurrent module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._squares: dict[int, torch.Tensor] = {}
        self._calls = 0
        self._whole: torch.Tensor | None = None
        if isinstance(module, torch.nn.RNNBase):
            self._axis = 1 if module.batch_first else 0
            self._hook = module.register_forward_pre_hook(self._enter, with_kwargs=True)
        else:
            self._hook = module.register_forward_hook(self._leave)

    def take(self) -> torch.Tensor | None:
        """The norms of this update, the earliest time step first; on the device of the module."""
        whole, squares = self._whole, self._squares
        self._whole, self._squares, self._calls = None, {}, 0
        if whole is None and squares:
            whole = torch.stack([squares[call] for call in sorted(squares)])
        return None if whole is None else whole.sqrt()

    def leave(self) -> None:
        """Listen no more."""
        self._hook.remove()

    def _enter(
        self, module: Any, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Hand a fused module an input of its own whose gradient can be listened to."""
        inputs = given[0] if given else named.get("input")
        if not (module.training and torch.is_grad_enabled() and isinstance(inputs, torch.Tensor)):
            return None
        own: Any = inputs.view_as(inputs) if inputs.requires_grad else inputs.detach()
        own.requires_grad_()
        own.register_hook(self._note_all(self._axis if inputs.dim() > 2 else 0))
        return ((own, *given[1:]), named) if given else (given, {**named, "input": own})

    def _note_all(self, axis: int) -> Callable[[torch.Tensor], None]:
        def note(gradient: torch.Tensor) -> None:
            squares = gradient.detach().movedim(axis, 0).flatten(1).float().square().sum(1)
            same = self._whole is not None and self._whole.shape == squares.shape
            self._whole = self._whole + squares if same and self._whole is not None else squares

        return note

    def _leave(self, module: Any, _: object, output: Any) -> None:
        """Listen to the state that a cell returns."""
        state: Any = output[0] if isinstance(output, tuple) else output
        if not (module.training and getattr(state, "requires_grad", False)):
            return
        call, self._calls = self._calls, self._calls + 1

        def note(gradient: torch.Tensor) -> None:
            self._squares[call] = gradient.detach().float().square().sum()

        state.register_hook(note)
