"""Collecting rollouts: from the environments, by the policy, into the buffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.policy.protocol import HiddenState, PolicyBundle
from tamiyo_rl.training.distributed import rank
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

    @property
    def statistics(self) -> dict[str, FeatureNormalizer | RewardScaler | EpisodeStatistics]:
        """What the rollouts add up, by name."""
        return {
            "normalizer": self.normalizer,
            "reward_scaler": self.reward_scaler,
            "episodes": self.episodes,
        }

    def begin(self, seed: int | None = None) -> None:
        """Reset the environments, and begin from the initial state.

        Args:
            seed: Of the first process's first environment; the others have the following ones. None
                for that of the settings.
        """
        self.episodes.begin()
        self.reward_scaler.begin()
        seed = self.config.seed if seed is None else seed
        self._observe(self.stepper.reset(seed + rank() * self.buffer.num_envs))
        self.hidden = self.bundle.initial_hidden(self.buffer.num_envs)
        self.starts = torch.ones(self.buffer.num_envs, dtype=torch.bool, device="cpu")

    def state_dict(self) -> dict[str, Any]:
        """Return where the rollouts stand: environments, hidden states, statistics."""
        return {
            "features": self._features.clone(),
            "hidden": [part.clone() for part in self.hidden],
            "starts": self.starts.clone(),
            "stepper": self.stepper.state_dict(),
            **{name: part.state_dict() for name, part in self.statistics.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], *, seed: int) -> None:
        """Load what `state_dict` returned.

        Args:
            state: Of a collector whose environments are built alike.
            seed: Of the new episodes that begin where the environments could not be saved.
        """
        for name, part in self.statistics.items():
            part.load_state_dict(state[name])
        if "environments" not in state["stepper"]:
            self.begin(seed)
            return
        self.stepper.load_state_dict(state["stepper"])
        device = self.bundle.device
        self._features, self.starts = state["features"].to(device), state["starts"]
        self.hidden = HiddenState(*(part.to(device) for part in state["hidden"]))

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
