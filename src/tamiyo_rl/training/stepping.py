"""One way to step through a vector environment, whichever way it resets ended episodes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from tamiyo_rl.training.action_masks import ActionMasks, Masks

Flags = NDArray[np.bool_]


class EnvironmentStep(NamedTuple):
    """What one step of a vector environment brought, the same for every autoreset mode.

    Attributes:
        observations: What the policy sees next.
        rewards: `[B]` float64.
        terminated: `[B]` bool.
        truncated: `[B]` bool.
        starts: `[B]` bool, true where the next step is the first of an episode.
        valid: `[B]` bool, false where this step only reset its environment.
        final_observations: The true final observations where episodes ended, if `observations`
            shows the next episode already; else None.
    """

    observations: Any
    rewards: NDArray[np.float64]
    terminated: Flags
    truncated: Flags
    starts: Flags
    valid: Flags
    final_observations: Any | None


class EnvironmentStepper:
    """Steps through a vector environment, whichever way it resets ended episodes.

    With `NEXT_STEP` the step after an end ignores its action and returns the first observation:
    that step is not valid for training. With `SAME_STEP` the ending step returns it already, and
    the final one in `info["final_obs"]`. With `DISABLED` the ended environments are reset here.

    Args:
        envs: The vector environment.

    Attributes:
        steps: Steps taken since the reset, in each environment.
        masks: Which actions are valid next, `[B, actions]`; None if the environment has no masks.

    Raises:
        ValueError: If a space is not supported, or the autoreset mode is none of Gymnasium's.

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training import EnvironmentStepper, make_envs

        stepper = EnvironmentStepper(make_envs("CartPole-v1", num_envs=2))
        stepper.reset(seed=0)
        while not (step := stepper.step(np.zeros(2, dtype=np.int64))).terminated.all():
            pass
        step = stepper.step(np.zeros(2, dtype=np.int64))
        print(step.valid.tolist(), step.starts.tolist())
        ```

        ```text
        [False, False] [True, True]
        ```
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        self.envs, self.action_masks = envs, ActionMasks(envs)
        self.steps = 0
        self.masks: Masks | None = None
        self._mode = _autoreset_mode(envs)
        self._ended: Flags = np.zeros(envs.num_envs, dtype=np.bool_)

    def reset(self, seed: int | None = None) -> Any:  # noqa: ANN401 - as the environment gives them
        """Reset every environment, and return the first observations."""
        self._ended = np.zeros(self.envs.num_envs, dtype=np.bool_)
        observations, info = self.envs.reset(seed=seed)
        self.steps, self.masks = 0, self.action_masks.read(info)
        return observations

    def step(self, actions: Any) -> EnvironmentStep:  # noqa: ANN401 - as the environment takes them
        """Take one step in every environment.

        Raises:
            ValueError: If a reward is not a finite number, or a mask does not fit; the error names
                the environment and the step.
        """
        observations, rewards, terminated, truncated, info = self.envs.step(actions)
        rewards = np.asarray(rewards, dtype=np.float64)
        require_finite("rewards", rewards, self.steps + 1)
        masks, ended = self.action_masks.read(info), np.logical_or(terminated, truncated)
        final, starts, valid = None, ended, np.ones_like(ended)
        if self._mode == AutoresetMode.NEXT_STEP:
            starts, valid = self._ended, ~self._ended
            masks = self._merged(masks, None, ended)  # what ended ignores its next action
        elif ended.any():
            final = self._final_observations(observations, info, ended)
            if self._mode == AutoresetMode.DISABLED:
                observations, info = self.envs.reset(options={"reset_mask": ended.copy()})
                masks = self._merged(masks, self.action_masks.read(info), ended)
        self.steps, self.masks, self._ended = self.steps + 1, masks, ended
        return EnvironmentStep(observations, rewards, terminated, truncated, starts, valid, final)

    def _merged(self, masks: Masks | None, others: Masks | None, rows: Flags) -> Masks | None:
        """Take the other masks in these rows; where there are none, every action is valid."""
        if masks is None and others is None:
            return None
        masks, others = (self.action_masks.all_valid() if m is None else m for m in (masks, others))
        return np.where(rows[:, None], others, masks)

    def _final_observations(self, observations: Any, info: Mapping[str, Any], ended: Flags) -> Any:  # noqa: ANN401 - any space
        """Return the observations with the true final ones where episodes ended."""
        if self._mode == AutoresetMode.DISABLED:
            return deepcopy(observations)  # the reset may write into them
        space: Any = self.envs.single_observation_space
        items = list(iterate(self.envs.observation_space, observations))
        final = _by_environment(self.envs, info["final_obs"])
        for row in np.flatnonzero(ended):
            items[row] = final[row]
        merged: Any = create_empty_array(space, len(items))
        return concatenate(space, items, merged)


def _by_environment(envs: VectorEnv[Any, Any, Any], final: Any) -> Any:  # noqa: ANN401 - any space
    """Return what can be indexed by environment: native environments may batch a Dict or Tuple."""
    if isinstance(final, np.ndarray | list):
        return final
    return list(iterate(envs.observation_space, final))


def _autoreset_mode(envs: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """Return the mode that the environments declare; Gymnasium's own default if they do not."""
    declared = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    try:
        return AutoresetMode(declared)
    except ValueError:
        modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
        raise ValueError(
            f'envs: expected metadata["autoreset_mode"] to be one of {modes}, got {declared!r}.'
        ) from None


def require_finite(name: str, values: NDArray[Any], step: int) -> None:
    """Raise where an environment returned NaN or infinity.

    Args:
        name: What the environment returned.
        values: `[B, ...]`.
        step: Number of the step since the reset, in each environment.

    Raises:
        ValueError: Naming the first such environment, and the step.
    """
    finite = np.isfinite(values)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name}: expected finite numbers, got {values[tuple(place)]} from environment "
            f"{place[0]} at step {step}\n  do: find out why the environment returns it; nothing "
            "was stored or trained from this step"
        )
