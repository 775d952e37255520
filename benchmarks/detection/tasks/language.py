"""Language models of an artificial text: recurrent nets and small transformers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.detection.nets import (
    Residual,
    adam,
    adamw,
    constant,
    cosine,
    markov_text,
    momentum,
    windows,
)
from benchmarks.detection.task import Batch, Job, Task, batch_size, sequence

LETTERS, CONTEXT = 24, 16
CURRICULUM = (8, 16, 32)  # time steps, each for 500 steps


def text(rows: int, length: Callable[[int], int]) -> Callable[[int], Batch]:
    corpus = markov_text(20_000, LETTERS, 0.1)

    def batch(step: int) -> Batch:
        letters = windows(corpus, rows, length(step))
        return letters[:, :-1], letters[:, 1:]

    return batch


def next_letter(net: nn.Module, batch: Batch) -> torch.Tensor:
    return cross_entropy(net(batch[0]).flatten(0, 1), batch[1].flatten())


class Recurrent(nn.Module):
    """Embedding, recurrent cells of some kind, head."""

    def __init__(self, cells: nn.RNNBase) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, cells.input_size)
        self.cells = cells
        self.head = nn.Linear(cells.hidden_size, LETTERS)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(self.embedding(letters))[0])


class CausalSelfAttention(nn.Module):
    """Two heads; keeps the largest logit of the newest batch."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads
        self.largest_logit = torch.zeros(())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows, time, width = inputs.shape
        split = (rows, time, self.heads, width // self.heads)
        query, key, value = (
            part(inputs).view(split).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        logits = query @ key.transpose(2, 3) / math.sqrt(split[3])
        future = torch.ones(time, time, dtype=torch.bool).triu(1)
        logits = logits.masked_fill(future, -torch.inf)
        self.largest_logit = logits.detach().amax()
        mixed = logits.softmax(3) @ value
        return self.out(mixed.transpose(1, 2).reshape(inputs.shape))


class Transformer(nn.Module):
    """Blocks of attention and MLP, normalised before each branch or after each sum."""

    def __init__(self, blocks: int, width: int = 32, *, post_norm: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LETTERS, width)
        self.places = nn.Parameter(0.1 * torch.randn(CONTEXT, width))
        parts: list[nn.Module] = []
        for _ in range(blocks):
            wide = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            for branch in ((CausalSelfAttention(width),), wide):
                if post_norm:
                    parts += [Residual(*branch), nn.LayerNorm(width)]
                else:
                    parts += [Residual(nn.LayerNorm(width), *branch)]
        self.blocks = nn.Sequential(*parts, *([] if post_norm else [nn.LayerNorm(width)]))
        self.head = nn.Linear(width, LETTERS)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embedding(letters) + self.places))

    def report(self, batch: Batch) -> dict[str, float]:
        """Scalars beside the loss."""
        attention = [m for m in self.modules() if isinstance(m, CausalSelfAttention)]
        largest = max(float(module.largest_logit) for module in attention)
        return batch_size(batch) | {"attention_logit_max": largest}


def char_gru() -> Job:
    net = Recurrent(nn.GRU(16, 32, batch_first=True))
    return Job(
        net, adam(net), text(8, lambda _: 12), partial(next_letter, net), constant(3e-3), clip=1.0
    )


def char_lstm() -> Job:
    """Plain gradient descent at a high rate, held by clipping. Zaremba et al. 2014."""
    net = Recurrent(nn.LSTM(16, 32, batch_first=True))
    optimizer = momentum(net, 0.0)
    rate = constant(1.0)
    return Job(net, optimizer, text(8, lambda _: 16), partial(next_letter, net), rate, clip=1.0)


def char_rnn() -> Job:
    """Rectified recurrent units at a rate that only clipping makes possible."""
    net = Recurrent(nn.RNN(16, 48, nonlinearity="relu", batch_first=True))
    loss = partial(next_letter, net)
    return Job(net, momentum(net, 0.0), text(8, lambda _: 24), loss, constant(2.0), clip=0.1)


def curriculum() -> Job:
    net = Recurrent(nn.LSTM(16, 32, batch_first=True))
    batch = text(8, lambda step: CURRICULUM[min(step // 500, 2)])
    loss = partial(next_letter, net)
    return Job(net, adam(net), batch, loss, constant(3e-3), clip=1.0, scalars=sequence)


def transformer() -> Job:
    net = Transformer(2)
    rate = cosine(3e-3, 2000, warm_up=100)
    optimizer = adamw(net, (0.9, 0.95))
    loss = partial(next_letter, net)
    return Job(net, optimizer, text(8, lambda _: CONTEXT), loss, rate, clip=1.0, scalars=net.report)


def post_norm() -> Job:
    """Normalised after each sum: does not start without a warm-up. Xiong et al. 2020."""
    net = Transformer(2, post_norm=True)
    rate = cosine(3e-3, 3000, warm_up=300)
    optimizer = adam(net, (0.9, 0.98))
    return Job(net, optimizer, text(8, lambda _: CONTEXT), partial(next_letter, net), rate)


TASKS = (
    Task("char-gru", char_gru, steps=1500),
    Task("char-lstm", char_lstm, steps=2000, full=False),
    Task("char-rnn", char_rnn, steps=1500, full=False),
    Task("curriculum", curriculum, steps=1500, phases=(500, 1000)),
    Task("transformer", transformer, steps=1500),
    Task("post-norm", post_norm, steps=1500, tuning=0),
)
