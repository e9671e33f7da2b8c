"""Stored experience that every method updates on, and the loss that every method computes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

FEATURES = 32
HIDDEN = 128
ACTIONS = 4
STEPS = 128
ROWS = (4, 16)
RESET_RATES = (0.0, 0.02, 0.1, 0.3)

EPOCHS = 4
CLIP_RANGE = 0.2
VALUE_COEF = 0.5
ENTROPY_COEF = 0.01
MAX_GRAD_NORM = 0.5
LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Workload:
    """One stored rollout `[B, T]`, the same for every method.

    Attributes:
        rows: Sequences of one minibatch.
        features: `[B, T, F]`.
        actions: `[B, T]` int64.
        log_prob: `[B, T]`, of the rollout.
        advantages: `[B, T]`.
        returns: `[B, T]`.
        starts: `[B, T]` bool, true where a step is the first of its episode.
    """

    rows: int
    features: torch.Tensor
    actions: torch.Tensor
    log_prob: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    starts: torch.Tensor

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self.features.shape[0]

    def minibatches(self) -> tuple[torch.Tensor, ...]:
        """Draw the rows of each minibatch of one epoch."""
        drawn: tuple[torch.Tensor, ...] = torch.randperm(self.batch).split(self.rows)
        return drawn


def make_workload(*, rows: int, reset_rate: float, batch: int = 16) -> Workload:
    """Make a rollout whose steps each start an episode with probability `reset_rate`."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(batch, STEPS, generator=generator) < reset_rate
    starts[:, 0] = True
    return Workload(
        rows=rows,
        features=torch.randn(batch, STEPS, FEATURES, generator=generator),
        actions=torch.randint(ACTIONS, (batch, STEPS), generator=generator),
        log_prob=torch.full((batch, STEPS), -1.386),
        advantages=torch.randn(batch, STEPS, generator=generator),
        returns=torch.randn(batch, STEPS, generator=generator),
        starts=starts,
    )


def categorical(logits: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probability of the actions `[b, T]` and the entropy, `[b, T]` each."""
    log_probs = logits.log_softmax(-1)
    log_prob = log_probs.gather(-1, actions[..., None]).squeeze(-1)
    return log_prob, -(log_probs.exp() * log_probs).sum(-1)


def ppo_loss(
    log_prob: torch.Tensor,
    entropy: torch.Tensor,
    value: torch.Tensor,
    batch: Workload,
    rows: torch.Tensor,
) -> torch.Tensor:
    """Compute the clipped loss of the rows; each argument is `[b, T]`."""
    advantages = batch.advantages[rows]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = (log_prob - batch.log_prob[rows]).exp()
    clipped = ratio.clamp(1 - CLIP_RANGE, 1 + CLIP_RANGE)
    policy = -torch.minimum(ratio * advantages, clipped * advantages).mean()
    value_loss = (value - batch.returns[rows]).square().mean()
    return policy + VALUE_COEF * value_loss - ENTROPY_COEF * entropy.mean()


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Take one optimiser step, with the gradient clipped."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
    optimizer.step()
