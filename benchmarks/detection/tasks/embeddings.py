"""Word vectors by negative sampling: sparse gradients, and most words are rare."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from benchmarks.detection.nets import constant
from benchmarks.detection.task import Batch, Job, Task

WORDS, TOPICS = 2000, 20


class WordVectors(nn.Module):
    """The score of a pair of words."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 16, sparse=True)
        self.contexts = nn.Embedding(WORDS, 16, sparse=True)
        nn.init.normal_(self.words.weight, std=0.1)
        nn.init.zeros_(self.contexts.weight)

    def forward(self, words: torch.Tensor, contexts: torch.Tensor) -> torch.Tensor:
        return (self.words(words) * self.contexts(contexts)).sum(-1)


def pairs(_step: int) -> Batch:
    """Zipf-distributed words [32], one of the same topic for each [32], and random ones [32, 4]."""
    words = torch.exp(torch.rand(32) * torch.log(torch.tensor(float(WORDS)))).long() - 1
    topic = words % TOPICS
    same = topic + TOPICS * torch.randint(WORDS // TOPICS, (32,))
    return words, same, torch.randint(WORDS, (32, 4))


def word_vectors() -> Job:
    net = WordVectors()

    def loss(batch: Batch) -> torch.Tensor:
        words, same, random = batch
        hits = logsigmoid(net(words, same)).mean()
        misses = logsigmoid(-net(words[:, None], random)).mean()
        return -hits - misses

    optimizer = torch.optim.SGD(net.parameters())
    return Job(net, optimizer, pairs, loss, constant(10.0))


TASKS = (Task("word-vectors", word_vectors, steps=3000),)
