"""Policies that learn from a rollout: what it stored, and what the loss takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import nn

from benchmarks.silent_bugs.case import Batch, Losses, Training, case

STEPS, ROLLOUTS, EPOCHS = 16, 2, 2


class ActorCritic(nn.Module):
    """A policy of two actions, and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
        self.critic = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))

    def evaluate(
        self, observations: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-probability of each action, and the value of each observation."""
        log_probs = self.actor(observations).log_softmax(dim=-1)
        chosen = log_probs.gather(-1, actions[..., None])[..., 0]
        return chosen, self.critic(observations)[..., 0]


class Line:
    """An environment that writes each observation over the one before."""

    def __init__(self) -> None:
        self.observation = np.zeros(4, dtype=np.float32)
        self.random = np.random.default_rng(0)

    def step(self, action: int) -> tuple[np.ndarray, float]:
        """Return the next observation, and a reward."""
        self.observation[:] = self.random.normal(size=4)
        return self.observation, float(action == (self.observation[0] > 0))


def clipped(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, advantage: torch.Tensor
) -> torch.Tensor:
    """Return the policy's term of PPO."""
    ratio = (log_prob - old_log_prob).exp()
    return -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


def collect(policy: ActorCritic, environment: Line, *, copy: bool = True) -> Batch:
    """Play one rollout."""
    steps = []
    observation, reward = environment.step(0)
    for _ in range(STEPS):
        seen = torch.from_numpy(observation.copy() if copy else observation)
        with torch.no_grad():
            action = int(torch.distributions.Categorical(logits=policy.actor(seen)).sample())
            log_prob, value = policy.evaluate(seen, torch.tensor(action))
        observation, reward = environment.step(action)
        steps.append((seen, torch.tensor(action), log_prob, value, torch.tensor(reward)))
    names = ("observations", "actions", "log_prob", "value", "returns")
    parts = (torch.stack(part) for part in zip(*steps, strict=True))
    return dict(zip(names, parts, strict=True))


def rollouts(policy: ActorCritic, *, copy: bool = True) -> Iterator[Batch]:
    """Yield each rollout for two epochs; `first` says that no update came between."""
    environment = Line()
    for _ in range(ROLLOUTS):
        batch = collect(policy, environment, copy=copy)
        for epoch in range(EPOCHS):
            yield {**batch, "first": torch.tensor(epoch == 0)}


@case(
    "The rollout keeps the values as Python numbers, and the value's term takes those: the critic "
    "is never trained.",
    "https://github.com/jsboige/CoursIA/pull/15256",
)
def values_as_numbers(*, mistake: bool) -> Training:
    """Train an actor and a critic by PPO."""
    policy = ActorCritic()

    def losses(batch: Batch) -> Losses:
        log_prob, value = policy.evaluate(batch["observations"], batch["actions"])
        if mistake:
            value = torch.tensor([number.item() for number in batch["value"]])
        advantage = batch["returns"] - batch["value"]
        return Losses(
            {
                "policy": clipped(log_prob, batch["log_prob"], advantage),
                "value": (value - batch["returns"]).square().mean(),
            },
            new={"log_prob": log_prob, "value": value},
            old={"log_prob": batch["log_prob"], "value": batch["value"]},
            first=bool(batch["first"]),
        )

    return Training(policy, torch.optim.Adam(policy.parameters()), rollouts(policy), losses)


@case(
    "The old log-probabilities are computed again in each epoch, from the policy that has "
    "changed, so that the ratio is always 1.",
    "https://github.com/abhisheksuran/Reinforcement_Learning/issues/4",
    missed="New and old agree, as they should in the first epoch; no tool compares the later ones.",
)
def ratio_of_one(*, mistake: bool) -> Training:
    """Train an actor and a critic by PPO."""
    policy = ActorCritic()

    def losses(batch: Batch) -> Losses:
        log_prob, value = policy.evaluate(batch["observations"], batch["actions"])
        old = log_prob.detach() if mistake else batch["log_prob"]
        advantage = batch["returns"] - batch["value"]
        return Losses(
            {
                "policy": clipped(log_prob, old, advantage),
                "value": (value - batch["returns"]).square().mean(),
            },
            new={"log_prob": log_prob, "value": value},
            old={"log_prob": old, "value": batch["value"]},
            first=bool(batch["first"]),
        )

    return Training(policy, torch.optim.Adam(policy.parameters()), rollouts(policy), losses)


@case("The environment writes over the observation that the rollout has stored without a copy.")
def overwritten_observations(*, mistake: bool) -> Training:
    """Train an actor and a critic by PPO."""
    policy = ActorCritic()

    def losses(batch: Batch) -> Losses:
        log_prob, value = policy.evaluate(batch["observations"], batch["actions"])
        return Losses(
            {
                "policy": clipped(log_prob, batch["log_prob"], batch["returns"] - batch["value"]),
                "value": (value - batch["returns"]).square().mean(),
            },
            new={"log_prob": log_prob, "value": value},
            old={"log_prob": batch["log_prob"], "value": batch["value"]},
            first=bool(batch["first"]),
        )

    optimizer = torch.optim.Adam(policy.parameters())
    return Training(policy, optimizer, rollouts(policy, copy=not mistake), losses)


class Writer(nn.Module):
    """A language model that averages the tokens it has seen, padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.output = nn.Linear(8, 12)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of each token after the first."""
        weights = mask[..., None]
        mean = (self.embedding(tokens) * weights).cumsum(dim=1) / weights.cumsum(dim=1).clamp_min(1)
        log_probs = self.output(mean[:, :-1]).log_softmax(dim=-1)
        return cast("torch.Tensor", log_probs.gather(-1, tokens[:, 1:, None])[..., 0])


@case(
    "The rollout computes its log-probabilities without the attention mask, training with it.",
    "https://github.com/CarperAI/trlx/issues/107",
)
def attention_mask(*, mistake: bool) -> Training:
    """Train a language model by PPO, on prompts that are padded on the left."""
    model = Writer()

    def written() -> Iterator[Batch]:
        for _ in range(ROLLOUTS):
            tokens = torch.randint(1, 12, (6, 10))
            mask = (torch.arange(10) >= torch.arange(6)[:, None]).float()
            tokens = tokens * mask.long()
            with torch.no_grad():
                old = model(tokens, torch.ones_like(mask) if mistake else mask)
            batch = {
                "tokens": tokens,
                "mask": mask,
                "log_prob": old,
                "advantage": torch.randn(6, 1),
            }
            for epoch in range(EPOCHS):
                yield {**batch, "first": torch.tensor(epoch == 0)}

    def losses(batch: Batch) -> Losses:
        log_prob = model(batch["tokens"], batch["mask"])
        counts = batch["mask"][:, :-1].bool()
        ratio = (log_prob - batch["log_prob"]).exp()
        return Losses(
            {"policy": -(ratio * batch["advantage"])[counts].mean()},
            new={"log_prob": log_prob},
            old={"log_prob": batch["log_prob"]},
            mask=counts,
            first=bool(batch["first"]),
        )

    return Training(model, torch.optim.Adam(model.parameters()), written(), losses)
