"""PPO in a loop of its own: `RecurrentPPO` audits what it trains, and refuses the mistakes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    FeatureNormalizer,
    PPOConfig,
    RewardScaler,
    RolloutBatch,
    RolloutBuffer,
    ppo_loss,
)


class Progress(NamedTuple):
    """What one update did.

    Attributes:
        steps: Environment steps so far.
        episode_return: Mean return of the last 100 episodes.
        first_ratio_error: Largest distance of the ratio from 1 in the first minibatch.
    """

    steps: int
    episode_return: float
    first_ratio_error: float


class Loop:
    """Trains a bundle on environments that reset themselves with the step after an end.

    Args:
        envs: Vector environment.
        bundle: The policy.
        config: Settings.
        normalizer: Statistics of the features to go on with.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        bundle: LSTMPolicyBundle,
        config: PPOConfig,
        normalizer: FeatureNormalizer | None = None,
    ) -> None:
        self.envs, self.bundle, self.config = envs, bundle, config
        self.normalizer = normalizer or FeatureNormalizer(bundle.feature_dim)
        self.reward_scaler = RewardScaler(envs.num_envs, config.gamma)
        self.optimizer = torch.optim.Adam(bundle.parameters(), lr=config.learning_rate, eps=1e-5)
        self.buffer = RolloutBuffer(
            bundle, envs.num_envs, config.num_steps, sequence_length=config.sequence_length
        )
        self._running, self._returns = np.zeros(envs.num_envs), deque[float](maxlen=100)

    def train(self) -> Iterator[Progress]:
        """Train for as many whole rollouts as `total_steps` holds, yielding after each."""
        torch.manual_seed(self.config.seed)
        self._begin()
        rollout = self.envs.num_envs * self.config.num_steps
        updates = self.config.total_steps // rollout
        for update in range(updates):
            self._collect()
            error = self._update(1.0 - update / updates)
            yield Progress((update + 1) * rollout, float(np.mean(self._returns)), error)

    def _begin(self) -> None:
        self._observe(self.envs.reset(seed=self.config.seed)[0])
        self._hidden = self.bundle.initial_hidden(self.envs.num_envs)
        self._starts = torch.ones(self.envs.num_envs, dtype=torch.bool)
        self._ended = np.zeros(self.envs.num_envs, dtype=np.bool_)

    def _observe(self, observations: Any) -> None:
        features = torch.as_tensor(observations)
        self.normalizer.update(features)
        self._features = self.normalizer(features)

    def _collect(self) -> None:
        self.buffer.reset()
        for _ in range(self.config.num_steps):
            self._collect_step()
        last = self.bundle.get_value(self._features, self._hidden, episode_starts=self._starts)
        self.buffer.finish(last, gamma=self.config.gamma, gae_lambda=self.config.gae_lambda)

    def _collect_step(self) -> None:
        result = self.bundle.get_action(
            self._features, hidden=self._hidden, episode_starts=self._starts
        )
        taken = self.envs.step(result.action["action"].numpy())
        observations, rewards, terminated, truncated, _ = taken
        valid, ended = ~self._ended, terminated | truncated
        self._count(rewards, ended, valid)
        self.buffer.add(
            self._features,
            result,
            hidden=self._hidden,
            episode_starts=self._starts,
            rewards=self.reward_scaler(rewards, ended, valid),
            terminated=terminated,
            truncated=truncated,
            valid=valid,
        )
        self._observe(observations)
        self._hidden, self._starts, self._ended = result.hidden, torch.as_tensor(~valid), ended

    def _count(self, rewards: Any, ended: Any, valid: Any) -> None:
        self._running += rewards
        self._returns.extend(self._running[ended].tolist())
        self._running[ended | ~valid] = 0.0

    def _update(self, remaining: float) -> float:
        """Train on the buffer, and return how far the first ratio was from 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * remaining
        errors = [
            self._train_minibatch(batch, self.config.clip_range * remaining)
            for batch in self.buffer.minibatches(
                self.config.num_minibatches, epochs=self.config.epochs
            )
        ]
        return errors[0]

    def _train_minibatch(self, batch: RolloutBatch, clip_range: float) -> float:
        evaluation = self.bundle.evaluate_actions(
            batch.features,
            batch.actions,
            hidden=batch.hidden,
            episode_starts=batch.plan,
        )
        loss = ppo_loss(evaluation, batch, clip_range)
        self.optimizer.zero_grad(set_to_none=True)
        (loss.policy + self.config.value_coef * loss.value).backward()
        torch.nn.utils.clip_grad_norm_(self.bundle.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return float(loss.ratio_error.detach())
