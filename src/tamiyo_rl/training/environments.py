"""Vector environments: the default task, and one way to step through every autoreset mode."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorObservationWrapper
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


def make_cartpole_without_velocities(num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Make `CartPole-v1` that shows the two positions and hides the two velocities.

    A policy without memory cannot solve it; 475 of 500 is the score at which `CartPole-v1`
    counts as solved.

    Args:
        num_envs: Environments.

    Examples:
        ```python
        from tamiyo_rl.training import make_cartpole_without_velocities

        envs = make_cartpole_without_velocities(num_envs=3)
        observations, _ = envs.reset(seed=0)
        print(observations.shape, envs.single_observation_space.shape)
        ```

        ```text
        (3, 2) (2,)
        ```
    """
    envs = gymnasium.make_vec(
        "CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point"
    )
    return KeepColumns(envs, columns=(0, 2))


class KeepColumns(VectorObservationWrapper[Any, Any, Any]):
    """Keeps some columns of Box observations, which makes a task partially observable.

    Args:
        env: Vector environment with one-dimensional Box observations.
        columns: Columns to keep.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], columns: tuple[int, ...]) -> None:
        super().__init__(env)
        self._columns = list(columns)
        whole = env.single_observation_space
        assert isinstance(whole, gymnasium.spaces.Box)  # noqa: S101 - documented above
        low, high = whole.low[self._columns], whole.high[self._columns]
        self.single_observation_space = gymnasium.spaces.Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def observations(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return the kept columns."""
        return observations[:, self._columns]


class EnvironmentStep(NamedTuple):
    """What one step of a vector environment brought, the same for every autoreset mode.

    Attributes:
        observations: What the policy sees next.
        rewards: `[B]`.
        terminated: `[B]` bool.
        truncated: `[B]` bool.
        starts: `[B]` bool, true where the next step is the first of an episode.
        valid: `[B]` bool, false where this step only reset its environment.
        final_observations: The true final observations where episodes ended, if `observations`
            shows the next episode already; else None.
    """

    observations: Any
    rewards: NDArray[np.floating[Any]]
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

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training import EnvironmentStepper, make_cartpole_without_velocities

        stepper = EnvironmentStepper(make_cartpole_without_velocities(2))
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
        self.envs = envs
        self._mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._ended: Flags = np.zeros(envs.num_envs, dtype=np.bool_)

    def reset(self, seed: int | None = None) -> Any:  # noqa: ANN401 - as the environment gives them
        """Reset every environment, and return the first observations."""
        self._ended = np.zeros(self.envs.num_envs, dtype=np.bool_)
        return self.envs.reset(seed=seed)[0]

    def step(self, actions: Any) -> EnvironmentStep:  # noqa: ANN401 - as the environment takes them
        """Take one step in every environment."""
        observations, rewards, terminated, truncated, info = self.envs.step(actions)
        was_ended, self._ended = self._ended, terminated | truncated
        if self._mode == AutoresetMode.NEXT_STEP:
            return EnvironmentStep(
                observations, rewards, terminated, truncated, was_ended, ~was_ended, None
            )
        final = self._final_observations(observations, info)
        if self._mode == AutoresetMode.DISABLED and self._ended.any():
            observations, _ = self.envs.reset(options={"reset_mask": self._ended})
        valid = np.ones_like(self._ended)
        return EnvironmentStep(
            observations, rewards, terminated, truncated, self._ended, valid, final
        )

    def _final_observations(self, observations: Any, info: dict[str, Any]) -> Any:  # noqa: ANN401 - any space
        """Return the observations with the true final ones where episodes ended."""
        if self._mode == AutoresetMode.DISABLED or not self._ended.any():
            return observations
        space: Any = self.envs.single_observation_space
        items = list(iterate(self.envs.observation_space, observations))
        for row in np.flatnonzero(self._ended):
            items[row] = info["final_obs"][row]
        merged: Any = create_empty_array(space, len(items))
        return concatenate(space, items, merged)
