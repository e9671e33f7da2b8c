"""The quality of a policy: the returns of whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from tamiyo_rl.checks import require_bool, require_positive
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.training.checks import require_fit, require_seed
from tamiyo_rl.training.envs.stepper import EnvironmentStep, EnvironmentStepper
from tamiyo_rl.training.rollout.normalization import FeatureNormalizer

MAX_STEPS = 100_000
Watcher = Callable[[int, int], None]


class EndlessEpisodeError(ValueError):
    """An episode takes longer than it may."""


class Episodes(NamedTuple):
    """Episodes that were played to their ends.

    Attributes:
        returns: `[episodes]`.
        lengths: `[episodes]`, in steps.
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]


def evaluate_policy(
    bundle: PolicyBundle,
    envs: VectorEnv[Any, Any, Any],
    normalizer: FeatureNormalizer,
    *,
    episodes: int | None = None,
    max_steps: int = MAX_STEPS,
    deterministic: bool = True,
    seed: int = 0,
    watch: Watcher | None = None,
) -> NDArray[np.float64]:
    """Play whole episodes, and return their returns, `[episodes]`.

    How many episodes an environment plays is settled before the first one begins, so that long
    and short ones count alike. The policy is in evaluation mode meanwhile, and the statistics of
    the normaliser are not updated.

    Args:
        bundle: The policy.
        envs: Vector environment, of any number of environments.
        normalizer: Of the training.
        episodes: How many to play; None for one in each environment.
        max_steps: How long an episode may take.
        deterministic: Whether to take the most probable actions; False samples them, as a
            training does.
        seed: Of the environments. Sampled actions come from PyTorch's own generator.
        watch: Called after each step with the number of episodes that have ended, and of steps.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the bundle or the normaliser does not fit the environments, these return
            NaN or infinity, or an episode has not ended after `max_steps`. The bundle is in the
            mode that it had.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import (
            FeatureNormalizer, evaluate_policy, make_envs,
        )

        envs = make_envs(num_envs=10)
        bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2)
        returns = evaluate_policy(bundle, envs, FeatureNormalizer(2), episodes=25)
        print(returns.shape, bool((returns < 475).all()))
        ```

        ```text
        (25,) True
        ```
    """
    return play_episodes(
        bundle,
        envs,
        normalizer,
        episodes=episodes,
        max_steps=max_steps,
        deterministic=deterministic,
        seed=seed,
        watch=watch,
    ).returns


def play_episodes(
    bundle: PolicyBundle,
    envs: VectorEnv[Any, Any, Any],
    normalizer: FeatureNormalizer,
    *,
    episodes: int | None,
    max_steps: int,
    deterministic: bool,
    seed: int,
    watch: Watcher | None = None,
) -> Episodes:
    """Play whole episodes, and return their lengths too; arguments as `evaluate_policy`."""
    require_fit(bundle, envs)
    require_seed(seed)
    require_bool(deterministic=deterministic)
    _require_normalizer(normalizer, bundle.feature_dim)
    tally = _Tally(envs.num_envs, envs.num_envs if episodes is None else episodes, max_steps)
    stepper = EnvironmentStepper(envs, bundle.device)
    was_training = bundle.training
    bundle.train(mode=False)
    try:
        for step in _steps(bundle, stepper, normalizer, seed, deterministic=deterministic):
            tally.add(step)
            if watch is not None:
                watch(tally.ended, stepper.steps)
            if not tally.running.any():
                break
    finally:
        bundle.train(mode=was_training)
    return tally.played


def _steps(
    bundle: PolicyBundle,
    stepper: EnvironmentStepper,
    normalizer: FeatureNormalizer,
    seed: int,
    *,
    deterministic: bool,
) -> Iterator[EnvironmentStep]:
    """Play without end, and yield each step."""
    features = stepper.reset(seed)
    hidden = bundle.initial_hidden(stepper.envs.num_envs)
    starts = torch.ones(stepper.envs.num_envs, dtype=torch.bool, device="cpu")
    while True:
        masks = stepper.action_masks.by_head(stepper.masks, bundle.device)
        result = bundle.get_action(
            normalizer(features), masks, hidden, episode_starts=starts, deterministic=deterministic
        )
        step = stepper.step(result.action)
        yield step
        features, hidden = step.features, result.hidden
        starts = torch.as_tensor(step.starts, device="cpu")


class _Tally:
    """Counts episodes: of B environments, environment i plays the episodes i, i + B, ...

    Args:
        num_envs: Environments, B.
        episodes: How many are played.
        max_steps: How long one may take.

    Attributes:
        played: The episodes.
        ended: How many episodes have ended.
    """

    def __init__(self, num_envs: int, episodes: int, max_steps: int) -> None:
        require_positive(episodes=episodes, max_steps=max_steps)
        self.played = Episodes(np.zeros(episodes), np.zeros(episodes, dtype=np.int64))
        self.ended = 0
        self._max_steps = max_steps
        self._episode = np.arange(num_envs)
        self._return = np.zeros(num_envs)
        self._length = np.zeros(num_envs, dtype=np.int64)

    @property
    def running(self) -> NDArray[np.bool_]:
        """Which environments have an episode to play, `[B]`."""
        return self._episode < len(self.played.returns)

    def add(self, step: EnvironmentStep) -> None:
        """Take one step in; a step that only reset its environment counts for nothing."""
        self._return += np.where(step.valid, step.rewards, 0.0)
        self._length += step.valid
        ended = (step.terminated | step.truncated) & self.running
        self._require_end(self.running & ~ended)
        self.played.returns[self._episode[ended]] = self._return[ended]
        self.played.lengths[self._episode[ended]] = self._length[ended]
        self.ended += int(ended.sum())
        self._episode[ended] += len(self._episode)
        self._return[ended] = self._length[ended] = 0

    def _require_end(self, running: NDArray[np.bool_]) -> None:
        late = np.flatnonzero(running & (self._length >= self._max_steps))
        if late.size:
            raise EndlessEpisodeError(
                f"max_steps: expected episodes of at most {self._max_steps} steps, got an episode "
                f"in environment {late[0]} that goes on. Allow more steps, or make environments "
                "that end by themselves, such as with max_episode_steps."
            )


def _require_normalizer(normalizer: object, feature_dim: int) -> None:
    is_one = isinstance(normalizer, FeatureNormalizer)
    if not is_one or normalizer.feature_dim != feature_dim:  # type: ignore[attr-defined]  # is_one says so
        got = f"one of {normalizer.feature_dim}" if is_one else repr(normalizer)  # type: ignore[attr-defined]  # is_one says so
        raise ValueError(f"normalizer: expected a FeatureNormalizer({feature_dim}), got {got}.")
