"""Collecting rollouts: from the environments, by the policy, into the buffer."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.policy.protocol import HiddenState, PolicyBundle
from tamiyo_rl.training.episodes import EpisodeStatistics
from tamiyo_rl.training.normalization import FeatureNormalizer, RewardScaler
from tamiyo_rl.training.ppo_config import PPOConfig
from tamiyo_rl.training.rollout_buffer import RolloutBuffer
from tamiyo_rl.training.stepping import EnvironmentStep, EnvironmentStepper


class RolloutCollector:
    """Fills a buffer with one rollout after the other, each going on where the last one ended.

    Args:
        envs: Vector environment.
        bundle: The policy.
        buffer: What is filled.
        config: Settings.

    Attributes:
        hidden: State of the policy before the next step.
        starts: `[B]` bool, true where the next step is the first of an episode.
    """

    hidden: HiddenState
    starts: torch.Tensor

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        bundle: PolicyBundle,
        buffer: RolloutBuffer,
        config: PPOConfig,
    ) -> None:
        self.bundle, self.buffer, self.config = bundle, buffer, config
        self.stepper = EnvironmentStepper(envs, bundle.device)
        self.normalizer = FeatureNormalizer(
            bundle.feature_dim, enabled=config.normalize_observations
        )
        self.reward_scaler = RewardScaler(
            envs.num_envs, config.gamma, enabled=config.normalize_rewards
        )
        self.episodes = EpisodeStatistics(envs.num_envs)

    def begin(self) -> None:
        """Reset the environments, and begin from the initial state."""
        self._observe(self.stepper.reset(self.config.seed))
        self.hidden = self.bundle.initial_hidden(self.buffer.num_envs)
        self.starts = torch.ones(self.buffer.num_envs, dtype=torch.bool, device="cpu")

    def collect(self) -> None:
        """Fill the buffer with one rollout.

        Raises:
            ValueError: If an environment returns NaN or infinity, naming it and the step.
        """
        self.buffer.reset()
        with self.config.precision(self.bundle.device):
            for _ in range(self.config.num_steps):
                self._collect_step()
            last = self.bundle.get_value(self._features, self.hidden, episode_starts=self.starts)
        self.buffer.finish(last, gamma=self.config.gamma, gae_lambda=self.config.gae_lambda)

    def _collect_step(self) -> None:
        masks = self.stepper.action_masks.by_head(self.stepper.masks, self.bundle.device)
        result = self.bundle.get_action(
            self._features, masks, self.hidden, episode_starts=self.starts
        )
        step = self.stepper.step(result.action)
        ended = step.terminated | step.truncated
        self.buffer.add(
            self._features,
            result,
            hidden=self.hidden,
            episode_starts=self.starts,
            rewards=self.reward_scaler(step.rewards, ended, step.valid),
            terminated=step.terminated,
            truncated=step.truncated,
            masks=masks,
            final_values=self._final_values(step, result.hidden),
            valid=step.valid,
        )
        self.episodes.add(step)
        self._observe(step.features)
        self.hidden, self.starts = result.hidden, torch.as_tensor(step.starts, device="cpu")

    def _observe(self, features: torch.Tensor) -> None:
        """Take features into the statistics, and show them to the policy."""
        self.normalizer.update(features)
        self._features = self.normalizer(features)

    def _final_values(self, step: EnvironmentStep, hidden: HiddenState) -> torch.Tensor | None:
        if step.final_features is None:
            return None
        return self.bundle.get_value(self.normalizer(step.final_features), hidden)
