"""The jobs of W4: models that really train, on tokens of which the next one can be learned."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

BATCHES, KNOWN = 8, 0.8  # how often the next token follows from the one before


@dataclass(frozen=True)
class Sizes:
    """Of a model and of the tokens of one step."""

    width: int
    layers: int
    batch: int
    length: int
    vocabulary: int = 512
    heads: int = 1

    @property
    def tokens(self) -> int:
        """Tokens a step."""
        return self.batch * self.length


@dataclass(frozen=True)
class Job:
    """A model in training; ``loss`` runs it forward on the next batch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device
    loss: Callable[[], Tensor]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All of them, each trainable."""
        return list(self.model.parameters())


class Block(nn.Module):
    """Causal attention and a network of two layers, each behind a norm, beside a residual path."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.network_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.inputs(self.attention_norm(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(-2))
        return x + self.down(F.gelu(self.up(self.network_norm(x))))


class Transformer(nn.Module):
    """A decoder like GPT."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.places = nn.Embedding(sizes.length, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes.width, sizes.heads) for _ in range(sizes.layers)))
        self.norm = nn.LayerNorm(sizes.width)
        self.head = nn.Linear(sizes.width, sizes.vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        inputs = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(inputs)))


class Recurrent(nn.Module):
    """A language model of LSTM layers."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.lstm = nn.LSTM(sizes.width, sizes.width, sizes.layers, batch_first=True)
        self.head = nn.Linear(sizes.width, sizes.vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.tokens(tokens))[0])


MODELS: Mapping[str, type[nn.Module]] = {"transformer": Transformer, "lstm": Recurrent}
# By device and model: about 690 ms and 265 ms a step on one core; far over 50 ms on one large GPU.
SIZES: Mapping[str, Mapping[str, Sizes]] = {
    "cpu": {
        "transformer": Sizes(width=224, layers=12, heads=7, batch=8, length=128),
        "lstm": Sizes(width=384, layers=2, batch=24, length=64),
    },
    "cuda": {
        "transformer": Sizes(
            width=1024, layers=12, heads=16, batch=64, length=1024, vocabulary=8192
        ),
    },
}


def job(model: str, sizes: Sizes, device: torch.device) -> Job:
    """A fresh model, its optimizer and its batches; on a GPU in bfloat16 by autocast."""
    torch.manual_seed(7)
    net = MODELS[model](sizes).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    batches = _batches(sizes, device)

    def loss() -> Tensor:
        tokens = next(batches)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = net(tokens[:, :-1])
            return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    return Job(net, optimizer, device, loss)


def _batches(sizes: Sizes, device: torch.device) -> Iterator[Tensor]:
    """A few batches, over and over: a random walk that mostly follows a fixed map of tokens."""
    following = torch.randperm(sizes.vocabulary)
    rows = BATCHES * sizes.batch
    columns = [torch.randint(sizes.vocabulary, (rows,))]
    for _ in range(sizes.length):
        known = torch.rand(rows) < KNOWN
        random = torch.randint(sizes.vocabulary, (rows,))
        columns.append(torch.where(known, following[columns[-1]], random))
    return itertools.cycle(torch.stack(columns, dim=1).to(device).split(sizes.batch))
