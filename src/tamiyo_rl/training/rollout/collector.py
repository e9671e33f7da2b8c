"""Collecting rollouts: from the environments, by the policy, into the buffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.checks import require_shape
from tamiyo_rl.policy.protocol import HeadTensors, PolicyBundle
from tamiyo_rl.policy.results import ActionResult
from tamiyo_rl.policy.spaces.observations import is_image
from tamiyo_rl.recurrent.hidden_state import HiddenState
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.distributed import rank
from tamiyo_rl.training.envs.stepper import EnvironmentStep, EnvironmentStepper
from tamiyo_rl.training.rollout.buffer import RolloutBuffer
from tamiyo_rl.training.rollout.episodes import EpisodeStatistics
from tamiyo_rl.training.rollout.normalization import FeatureNormalizer, RewardScaler

CUT_OFF = "the last rollout was cut off, or somebody else has reset or stepped the environments"


class RolloutCollector:
    """Fills a buffer with one rollout after the other, each going on where the last one ended.

    Args:
        envs: Vector environment.
        bundle: The policy.
        buffer: The buffer to fill.
        config: Settings.

    Attributes:
        hidden: State of the policy before the next step.
        starts: `[B]` bool, true where the next step is the first of an episode.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        bundle: PolicyBundle,
        buffer: RolloutBuffer,
        config: PPOConfig,
    ) -> None:
        self.bundle = bundle
        self.buffer = buffer
        self.config = config
        self.stepper = EnvironmentStepper(envs, bundle.device)
        self.normalizer = FeatureNormalizer(
            bundle.feature_dim,
            enabled=config.normalize_observations and not reads_images(bundle, envs),
        )
        self.reward_scaler = RewardScaler(
            envs.num_envs, config.gamma, enabled=config.normalize_rewards
        )
        self.episodes = EpisodeStatistics(envs.num_envs)
        self._features = torch.zeros(envs.num_envs, bundle.feature_dim, device=bundle.device)
        self.hidden = bundle.initial_hidden(envs.num_envs)
        self.starts = torch.ones(envs.num_envs, dtype=torch.bool, device="cpu")
        self._is_whole = False

    @property
    def can_go_on(self) -> bool:
        """Whether the next rollout can begin where the last one ended.

        It cannot before the first one, after one that an error cut off, and where somebody else
        has reset or stepped the environments.
        """
        return self._is_whole and self.stepper.is_current

    @property
    def statistics(self) -> dict[str, FeatureNormalizer | RewardScaler | EpisodeStatistics]:
        """The running statistics of the rollouts, by name."""
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
        seed = self.config.seed if seed is None else seed
        features = self.stepper.reset(seed + rank() * self.buffer.num_envs)
        self.episodes.begin()
        self.reward_scaler.begin()
        self._observe(features)
        self.hidden = self.bundle.initial_hidden(self.buffer.num_envs)
        self.starts = torch.ones(self.buffer.num_envs, dtype=torch.bool, device="cpu")
        self._is_whole = True

    def settle(self) -> None:
        """Play for the statistics of the observations only, before training begins.

        At first all observations are alike: statistics of so few would scale by far too much what
        the policy sees next. Burda et al. 2018 (arXiv:1810.12894, section 2.4) begin so.
        """
        if not self.normalizer.enabled or not self.config.normalization_steps:
            return
        self.begin()
        with self.config.precision(self.bundle.device):
            for _ in range(self.config.normalization_steps):
                result = self._act(self._masks())
                self._go_on(self.stepper.step(result.action), result.hidden)
        self._is_whole = False

    def state_dict(self) -> dict[str, Any]:
        """Return where the rollouts stand: environments, hidden states, statistics."""
        return {
            "features": self._features.clone(),
            "hidden": [part.clone() for part in self.hidden.parts],
            "starts": self.starts.clone(),
            "stepper": self.stepper.state_dict() if self.can_go_on else {"not_saved": CUT_OFF},
            **{name: part.state_dict() for name, part in self.statistics.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], *, seed: int | None) -> None:
        """Load what `state_dict` returned.

        Args:
            state: Of a collector whose environments are built alike.
            seed: Of new episodes; None to go on with those that were saved.

        Raises:
            ValueError: If it does not fit; the statistics may have changed then, and nothing else.
        """
        for name, part in self.statistics.items():
            part.load_state_dict(state[name])
        with self.stepper.unchanged_on_error():
            if seed is not None:
                self.begin(seed)
                return
            features, hidden, starts = self._saved_tensors(state)
            self.stepper.load_state_dict(state["stepper"])
        self._features = features
        self.hidden = hidden
        self.starts = starts
        self._is_whole = True

    def _saved_tensors(
        self, state: Mapping[str, Any]
    ) -> tuple[torch.Tensor, HiddenState, torch.Tensor]:
        """Return the features, hidden state and starts of a state, of the shapes of the own."""
        features = _like(self._features, state["features"], "features")
        parts = state["hidden"]
        if len(parts) != len(self.hidden.parts):
            raise ValueError(
                f'state["hidden"]: expected {len(self.hidden.parts)} tensors, got {len(parts)}.'
            )
        own = zip(self.hidden.parts, parts, strict=True)
        hidden = HiddenState(*(_like(mine, part, "hidden") for mine, part in own))
        return features, hidden, _like(self.starts, state["starts"], "starts")

    def collect(self) -> None:
        """Fill the buffer with one rollout.

        Raises:
            ValueError: If an environment returns NaN or infinity, naming it and the step, or
                somebody else has reset or stepped the environments.
        """
        self.buffer.reset()
        self._is_whole = False
        with self.config.precision(self.bundle.device):
            for _ in range(self.config.num_steps):
                self._collect_step()
            last = self.bundle.get_value(self._features, self.hidden, episode_starts=self.starts)
        self.buffer.finish(last, gamma=self.config.gamma, gae_lambda=self.config.gae_lambda)
        self._is_whole = True

    def _collect_step(self) -> None:
        masks = self._masks()
        starts = self.starts.numpy()
        result = self._act(masks)
        step = self.stepper.step(result.action)
        ended = step.terminated | step.truncated
        self.buffer.add(
            self._features,
            result,
            hidden=self.hidden,
            episode_starts=starts,
            rewards=self.reward_scaler(step.rewards, ended, step.valid),
            terminated=step.terminated,
            truncated=step.truncated,
            masks=masks,
            final_values=self._final_values(step, result.hidden),
            valid=step.valid,
        )
        self.episodes.add(step)
        self._go_on(step, result.hidden)

    def _masks(self) -> HeadTensors | None:
        return self.stepper.action_masks.by_head(self.stepper.masks, self.stepper.device)

    def _act(self, masks: HeadTensors | None) -> ActionResult:
        starts = self.starts if self.starts.numpy().any() else None
        return self.bundle.get_action(self._features, masks, self.hidden, episode_starts=starts)

    def _go_on(self, step: EnvironmentStep, hidden: HiddenState) -> None:
        """Stand where a step has led."""
        self._observe(step.features)
        self.hidden = hidden
        self.starts = torch.from_numpy(step.starts)

    def _observe(self, features: torch.Tensor) -> None:
        """Take features into the statistics, and show them to the policy."""
        self.normalizer.update(features)
        self._features = self.normalizer(features)

    def _final_values(self, step: EnvironmentStep, hidden: HiddenState) -> torch.Tensor | None:
        if step.final_features is None:
            return None
        return self.bundle.get_value(self.normalizer(step.final_features), hidden)


def reads_images(bundle: PolicyBundle, envs: VectorEnv[Any, Any, Any]) -> bool:
    """Tell whether an encoder reads the images of these environments as they are.

    Args:
        bundle: The policy.
        envs: Its environments.
    """
    return is_image(envs.single_observation_space) and getattr(bundle, "encoder", None) is not None


def _like(own: torch.Tensor, saved: object, name: str) -> torch.Tensor:
    """Return a saved tensor on the device of the own one, if it has the same shape and dtype."""
    sizes = {str(dim): size for dim, size in enumerate(own.shape)}
    tensor = require_shape(f'state["{name}"]', saved, sizes)
    if tensor.dtype != own.dtype:
        raise ValueError(f'state["{name}"]: expected {own.dtype}, got {tensor.dtype}.')
    return tensor.to(own.device)
