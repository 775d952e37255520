"""Recurrent nets that have to remember what came long before: temporal order, adding."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from benchmarks.detection.nets import adam, constant
from benchmarks.detection.task import Batch, Job, Task
from gradwatch.values import Float32Array

SYMBOLS, CLASSES, TIME_STEPS = 6, 4, 50


class LastState(nn.Module):
    """An RNN read out at its last state; ``through_time`` says how the gradient came back."""

    def __init__(self, inputs: int, width: int, outputs: int, nonlinearity: str = "tanh") -> None:
        super().__init__()
        self.rnn = nn.RNN(inputs, width, nonlinearity=nonlinearity, batch_first=True)
        self.head = nn.Linear(width, outputs)
        self._states = torch.empty(0)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self._states, _ = self.rnn(inputs)
        self._states.retain_grad()
        return self.head(self._states[:, -1])

    def through_time(self) -> Float32Array:
        """‖∂L/∂h_t‖ for every t, float32[T]: δ_t = Wᵀ(δ_{t+1} ⊙ φ'), written by the state h."""
        weight = self.rnn.weight_hh_l0.detach().numpy()
        states = self._states.detach()
        tanh = self.rnn.nonlinearity == "tanh"
        slope = (1 - states.square() if tanh else (states > 0).float()).numpy()
        assert self._states.grad is not None
        delta = self._states.grad.numpy().copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(delta.shape[1] - 2, -1, -1):
                delta[:, t] += (delta[:, t + 1] * slope[:, t + 1]) @ weight
            return (delta * delta).sum(axis=(0, 2)) ** 0.5


def temporal_order(_step: int) -> Batch:
    """Two marks among distractors; the class is which came when. Hochreiter, Schmidhuber 1997."""
    symbols = torch.randint(2, SYMBOLS, (16, TIME_STEPS))
    marks, rows = torch.randint(2, (16, 2)), torch.arange(16)
    early = torch.randint(TIME_STEPS // 10, TIME_STEPS // 5, (16,))
    late = torch.randint(TIME_STEPS // 2, TIME_STEPS * 3 // 5, (16,))
    symbols[rows, early], symbols[rows, late] = marks[:, 0], marks[:, 1]
    return nn.functional.one_hot(symbols, SYMBOLS).float(), 2 * marks[:, 0] + marks[:, 1]


def adding(length: int, _step: int) -> Batch:
    """Numbers of which two are marked, one in each half; the target is their sum. Ibid."""
    rows, half = torch.arange(16), length // 2
    values, marks = torch.rand(16, length), torch.zeros(16, length)
    places = torch.stack([torch.randint(half, (16,)), half + torch.randint(half, (16,))])
    marks[rows, places[0]] = marks[rows, places[1]] = 1.0
    total = values[rows, places[0]] + values[rows, places[1]]
    return torch.stack([values, marks], 2), total[:, None]


def rnn_order() -> Job:
    net = LastState(SYMBOLS, 32, CLASSES)
    nn.init.orthogonal_(net.rnn.weight_hh_l0)
    return Job(
        net,
        adam(net),
        temporal_order,
        lambda b: cross_entropy(net(b[0]), b[1]),
        constant(1e-3),
        clip=1.0,
        profile=net.through_time,
    )


def irnn_adding() -> Job:
    """ReLU units that begin by copying themselves. Le, Jaitly, Hinton 2015."""
    net = LastState(2, 32, 1, "relu")
    nn.init.eye_(net.rnn.weight_hh_l0)
    with torch.no_grad():
        net.rnn.weight_hh_l0.mul_(0.97)
    nn.init.normal_(net.rnn.weight_ih_l0, std=0.2)
    nn.init.zeros_(net.rnn.bias_ih_l0)
    nn.init.zeros_(net.rnn.bias_hh_l0)
    return Job(
        net,
        adam(net),
        partial(adding, 30),
        lambda b: mse_loss(net(b[0]), b[1]),
        constant(5e-4),
        clip=1.0,
        profile=net.through_time,
    )


class LastCell(nn.Module):
    """An LSTM read out at its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(inputs)[0][:, -1])


def lstm_adding() -> Job:
    net = LastCell()
    with torch.no_grad():
        net.lstm.bias_ih_l0[32:64] = 1.0  # the forget gate starts open
    loss = lambda b: mse_loss(net(b[0]), b[1])  # noqa: E731
    return Job(net, adam(net), partial(adding, 24), loss, constant(5e-3), clip=1.0)


TASKS = (
    Task("rnn-order", rnn_order, steps=1500),
    Task("irnn-adding", irnn_adding, steps=1200),
    Task("lstm-adding", lstm_adding, steps=1800),
)
