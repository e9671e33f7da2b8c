"""Collecting rollouts: from the environments, by the policy, into the buffer."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.policy.protocol import HiddenState, PolicyBundle
from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.training.environments import EnvironmentStep, EnvironmentStepper
from tamiyo_rl.training.episodes import EpisodeReturns
from tamiyo_rl.training.normalization import FeatureNormalizer, RewardScaler
from tamiyo_rl.training.ppo_config import PPOConfig
from tamiyo_rl.training.rollout_buffer import RolloutBuffer


class RolloutCollector:
    """Fills a buffer with one rollout after the other, each going on where the last one ended.

    Args:
        envs: Vector environment.
        bundle: The policy.
        buffer: What is filled.
        config: Settings.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        bundle: PolicyBundle,
        buffer: RolloutBuffer,
        config: PPOConfig,
    ) -> None:
        self.bundle, self.buffer, self.config = bundle, buffer, config
        self.spaces = SpaceAdapter(envs.single_observation_space, envs.single_action_space)
        self.stepper = EnvironmentStepper(envs)
        self.normalizer = FeatureNormalizer(bundle.feature_dim)
        self.reward_scaler = RewardScaler(envs.num_envs, config.gamma)
        self.episodes = EpisodeReturns(envs.num_envs)

    def begin(self) -> None:
        """Reset the environments, and begin from the initial state."""
        self._features = self._observe(self.stepper.reset(self.config.seed))
        self._hidden = self.bundle.initial_hidden(self.buffer.num_envs)
        self._starts = torch.ones(self.buffer.num_envs, dtype=torch.bool, device="cpu")

    def collect(self) -> None:
        """Fill the buffer with one rollout."""
        self.buffer.reset()
        for _ in range(self.config.num_steps):
            self._collect_step()
        last = self.bundle.get_value(self._features, self._hidden, episode_starts=self._starts)
        self.buffer.finish(last, gamma=self.config.gamma, gae_lambda=self.config.gae_lambda)

    def _observe(self, observations: Any) -> torch.Tensor:  # noqa: ANN401 - any space
        features = self.spaces.features(observations, self.bundle.device)
        self.normalizer.update(features)
        return self.normalizer(features)

    def _collect_step(self) -> None:
        result = self.bundle.get_action(
            self._features, hidden=self._hidden, episode_starts=self._starts
        )
        step = self.stepper.step(self.spaces.actions(result.action))
        self.episodes.add(step)
        ended = step.terminated | step.truncated
        self.buffer.add(
            self._features,
            result,
            hidden=self._hidden,
            episode_starts=self._starts,
            rewards=self.reward_scaler(step.rewards, ended, step.valid),
            terminated=step.terminated,
            truncated=step.truncated,
            final_values=self._final_values(step, result.hidden),
            valid=step.valid,
        )
        self._features, self._hidden = self._observe(step.observations), result.hidden
        self._starts = torch.as_tensor(step.starts, device="cpu")

    def _final_values(self, step: EnvironmentStep, hidden: HiddenState) -> torch.Tensor | None:
        if step.final_observations is None or not step.truncated.any():
            return None
        features = self.spaces.features(step.final_observations, self.bundle.device)
        return self.bundle.get_value(self.normalizer(features), hidden)
