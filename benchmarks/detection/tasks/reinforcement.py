"""Learning from reward: a policy gradient, and Q-learning with a target net."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn.functional import cross_entropy, smooth_l1_loss

from benchmarks.detection.nets import adam, constant, mlp
from benchmarks.detection.task import Batch, Job, Task

PLACES, ACTIONS, HORIZON = 12, 3, 16


def walk(places: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move left, stay or right on a line, slipping now and then; the reward is at its right end."""
    slip = torch.rand(len(places)) < 0.1
    moved = torch.where(slip, -1, actions - 1)
    places = (places + moved).clamp(0, PLACES - 1)
    return places, (places == PLACES - 1).float() - 0.02 * (actions != 1).float()


def seen(places: torch.Tensor) -> torch.Tensor:
    return nn.functional.one_hot(places, PLACES).float()


def policy_gradient() -> Job:
    """REINFORCE (Williams 1992) over eight episodes a step, with the mean return as baseline."""
    net = mlp(PLACES, 32, 32, ACTIONS, activation=nn.Tanh)

    @torch.no_grad()
    def episodes(_step: int) -> Batch:
        places, path, rewards = torch.randint(PLACES, (8,)), [], []
        for _ in range(HORIZON):
            actions = torch.multinomial(net(seen(places)).softmax(1), 1)[:, 0]
            path.append((places, actions))
            places, reward = walk(places, actions)
            rewards.append(reward)
        to_go = torch.stack(rewards).flip(0).cumsum(0).flip(0)
        advantage = (to_go - to_go.mean(1, keepdim=True)).flatten()
        return seen(torch.cat([p for p, _ in path])), torch.cat([a for _, a in path]), advantage

    def loss(batch: Batch) -> torch.Tensor:
        logits = net(batch[0])
        surprise = cross_entropy(logits, batch[1], reduction="none")
        entropy = Categorical(logits=logits).entropy().mean()
        return (surprise * batch[2]).mean() - 0.1 * entropy

    return Job(net, adam(net), episodes, loss, constant(1e-3))


def q_learning() -> Job:
    """Bootstraps from a copy of itself that is renewed every 100 steps. Mnih et al. 2015."""
    net, target = mlp(PLACES, 32, 32, ACTIONS), mlp(PLACES, 32, 32, ACTIONS)

    @torch.no_grad()
    def transitions(step: int) -> Batch:
        if step % 100 == 0:
            target.load_state_dict(net.state_dict())
        places, actions = torch.randint(PLACES, (32,)), torch.randint(ACTIONS, (32,))
        after, reward = walk(places, actions)
        return seen(places), actions[:, None], reward + 0.9 * target(seen(after)).amax(1)

    def loss(batch: Batch) -> torch.Tensor:
        return smooth_l1_loss(net(batch[0]).gather(1, batch[1])[:, 0], batch[2])

    return Job(net, adam(net), transitions, loss, constant(5e-4))


TASKS = (
    Task("policy-gradient", policy_gradient, steps=2000, full=False),
    Task("q-learning", q_learning, steps=2500, tuning=0, test=3),
)
