"""Making vector environments: by any Gymnasium id, or the default task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.vector import VectorEnv, VectorObservationWrapper
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TransformObservation
from numpy.typing import NDArray

from tamiyo_rl.checks import require_positive
from tamiyo_rl.policy.spaces import SpaceAdapter

DEFAULT_TASK = "tamiyo-rl/PositionOnlyCartPole-v1"
POSITIONS = (0, 2)
MODES = {"native": "vector_entry_point", "sync": "sync", "async": "async"}


def make_envs(
    env_id: str = DEFAULT_TASK,
    num_envs: int = 8,
    *,
    vectorization: Literal["native", "sync", "async"] | None = None,
    **settings: Any,
) -> VectorEnv[Any, Any, Any]:
    """Make a vector environment by its Gymnasium id, fit for `LSTMPolicyBundle.from_spaces`.

    The default task is `CartPole-v1` without its two velocities, which a policy without memory
    cannot solve.

    Args:
        env_id: The id, such as `"CartPole-v1"`; `"module:Env-v0"` imports a module first, which
            registers the environment.
        num_envs: Environments that are stepped together, B.
        vectorization: `"native"` for the environment's own vector implementation, `"sync"` for
            one process, `"async"` for a process each; None for native where there is one, else
            sync.
        **settings: Handed on to the environment.

    Raises:
        TypeError: If `env_id` is not a str.
        ValueError: If the environment is unknown or cannot be made, `num_envs` is below 1, or a
            space is not supported, naming it and what is.

    Examples:
        ```python
        from tamiyo_rl.training import make_envs

        print(make_envs().single_observation_space.shape)
        for env_id, num_envs in (("CartPole-v7", 8), ("CartPole-v1", 0)):
            try:
                make_envs(env_id, num_envs)
            except ValueError as error:
                print(str(error).splitlines()[0])
        ```

        ```text
        (2,)
        env_id: expected an environment that Gymnasium can make, got 'CartPole-v7'
        num_envs: expected an int of at least 1, got 0.
        ```
    """
    require_positive(num_envs=num_envs)
    if not isinstance(env_id, str):
        raise TypeError(f"env_id: expected a str such as 'CartPole-v1', got {env_id!r}.")
    if vectorization is not None and not (
        isinstance(vectorization, str) and vectorization in MODES
    ):
        raise ValueError(f"vectorization: expected one of {[*MODES]}, got {vectorization!r}.")
    envs = _make(env_id, num_envs, vectorization, settings)
    try:
        SpaceAdapter(envs.single_observation_space, envs.single_action_space)
    except ValueError as error:
        envs.close()
        raise ValueError(f"env_id: expected supported spaces, got {env_id!r}\n  {error}") from error
    return envs


def _make(
    env_id: str, num_envs: int, vectorization: str | None, settings: dict[str, Any]
) -> VectorEnv[Any, Any, Any]:
    mode = None if vectorization is None else MODES[vectorization]
    try:
        return gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode=mode, **settings)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise ValueError(
            f"env_id: expected an environment that Gymnasium can make, got {env_id!r}\n"
            f"  {type(error).__name__}: {error}\n"
            '  do: list what there is with gymnasium.pprint_registry(), or write "module:id" to '
            "import the module that registers it"
        ) from error


def make_cartpole_without_velocities(
    num_envs: int,
    **settings: Any,
) -> VectorEnv[Any, Any, Any]:
    """Make `CartPole-v1` that shows the two positions and hides the two velocities.

    A policy without memory cannot solve it; 475 of 500 is the score at which `CartPole-v1`
    counts as solved.

    Args:
        num_envs: Environments.
        **settings: Handed on to `CartPole-v1`.

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
        "CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point", **settings
    )
    return KeepColumns(envs, columns=POSITIONS)


class KeepColumns(VectorObservationWrapper[Any, Any, Any]):
    """Keeps some columns of Box observations, which makes a task partially observable.

    Args:
        env: Vector environment with one-dimensional Box observations.
        columns: Columns to keep.

    Raises:
        TypeError: If `env` is not a vector environment.
        ValueError: If its observations are others, or have no such column.

    Examples:
        ```python
        import gymnasium
        from tamiyo_rl.training import KeepColumns

        envs = KeepColumns(gymnasium.make_vec("CartPole-v1", num_envs=3), columns=(0, 2))
        print(envs.reset(seed=0)[0].shape)
        ```

        ```text
        (3, 2)
        ```
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], columns: Sequence[int]) -> None:
        if not isinstance(env, VectorEnv):
            raise TypeError(f"env: expected a Gymnasium VectorEnv, got {type(env).__name__}.")
        self._columns = _require_columns(columns, env.single_observation_space)
        super().__init__(env)
        self.single_observation_space = _columns_of(env.single_observation_space, self._columns)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def observations(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return the kept columns."""
        return observations[:, self._columns]


def _require_columns(columns: Sequence[int], space: gymnasium.Space[Any]) -> list[int]:
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"env: expected observations of a one-dimensional Box, got {space}.")
    (count,) = space.shape
    listed = list(columns) if isinstance(columns, Sequence) else []
    if not listed or any(type(column) is not int or not 0 <= column < count for column in listed):
        raise ValueError(
            f"columns: expected a list of ints from 0 to {count - 1}, got {columns!r}."
        )
    return listed


def _columns_of(space: Any, columns: list[int]) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(space.low[columns], space.high[columns], dtype=space.dtype)


def make_single_cartpole(**settings: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment of the default task; Gymnasium adds the limit of 500 steps."""
    env, columns = CartPoleEnv(**settings), list(POSITIONS)
    shown = _columns_of(env.observation_space, columns)
    return TransformObservation(env, lambda observation: observation[columns], shown)


gymnasium.register(
    id=DEFAULT_TASK,
    entry_point="tamiyo_rl.training.envs.make:make_single_cartpole",
    vector_entry_point="tamiyo_rl.training.envs.make:make_cartpole_without_velocities",
    max_episode_steps=500,
    reward_threshold=475.0,
)
