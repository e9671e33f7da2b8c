"""PPO without audit: `RecurrentPPO` collects, and would refuse to train the mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import FeatureNormalizer, PPOConfig, RecurrentPPO, RolloutBatch, ppo_loss


class Progress(NamedTuple):
    """State of a training after one update.

    Attributes:
        steps: Environment steps so far.
        episode_return: Mean return of the last 100 episodes.
        first_ratio_error: Largest distance of the ratio from 1 in the first minibatch.
    """

    steps: int
    episode_return: float
    first_ratio_error: float


class Loop:
    """Trains a bundle on the rollouts of a trainer, with an update that checks nothing.

    Args:
        envs: Vector environment.
        bundle: The policy.
        config: Settings.
        normalizer: Statistics of the features to begin with.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        bundle: LSTMPolicyBundle,
        config: PPOConfig,
        normalizer: FeatureNormalizer | None = None,
    ) -> None:
        self.bundle = bundle
        self.config = config
        self.trainer = RecurrentPPO(envs, bundle, config)
        self.optimizer = torch.optim.Adam(bundle.parameters(), lr=config.learning_rate, eps=1e-5)
        if normalizer:
            self.trainer.normalizer.load_state_dict(normalizer.state_dict())

    def train(self) -> Iterator[Progress]:
        """Train for as many whole rollouts as `total_steps` holds, yielding after each."""
        torch.manual_seed(self.config.seed)
        collector = self.trainer.collector
        collector.begin()
        total = self.trainer.total_steps
        rollout = self.trainer.envs.num_envs * self.config.num_steps
        for done in range(0, total, rollout):
            collector.collect()
            error = self._update(1.0 - done / total)
            yield Progress(done + rollout, collector.episodes.mean_return, error)

    def _update(self, remaining: float) -> float:
        """Train on the rollout, and return how far the first ratio was from 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * remaining
        errors = [
            self._train_minibatch(batch, self.config.clip_range * remaining)
            for batch in self.trainer.buffer.minibatches(
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
