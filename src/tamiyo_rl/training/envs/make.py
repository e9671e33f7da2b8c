"""Making vector environments: by any Gymnasium id, or the default task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TransformObservation
from numpy.typing import NDArray

from tamiyo_rl.checks import require_positive
from tamiyo_rl.policy.spaces import SpaceAdapter

DEFAULT_TASK = "tamiyo-rl/PositionOnlyCartPole-v1"
POSITIONS = [0, 2]
EPISODES = ("state", "steps", "prev_done")  # attributes of CartPoleVectorEnv
REASONS = gymnasium.error.Error, ImportError, TypeError, ValueError, AttributeError, AssertionError
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
    cannot solve; 475 of 500 is the score at which `CartPole-v1` counts as solved.

    Args:
        env_id: The id, such as `"CartPole-v1"`; `"module:Env-v0"` imports a module first, which
            registers the environment.
        num_envs: Environments that are stepped together, B.
        vectorization: `"native"` for the environment's own vector implementation, `"sync"` for
            one process, `"async"` for a process each; None for native where there is one, else
            sync.
        **settings: Handed on to the environment; `wrappers=[...]` wraps each environment, where
            it is not native.

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
    except REASONS as error:
        raise ValueError(
            f"env_id: expected an environment that Gymnasium can make, got {env_id!r}\n"
            f"  {type(error).__name__}: {error}\n"
            '  do: list what there is with gymnasium.pprint_registry(), or write "module:id" to '
            "import the module that registers it, where Python finds that module"
        ) from error


def reward_threshold(envs: VectorEnv[Any, Any, Any]) -> float | None:
    """Return the return at which the task counts as solved; None if nobody has said."""
    return None if envs.spec is None else envs.spec.reward_threshold


class PositionOnlyCartPole(CartPoleVectorEnv):
    """`CartPole-v1` that shows the two positions and hides the two velocities.

    Args:
        **settings: Handed on to Gymnasium's `CartPoleVectorEnv`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.single_observation_space = _positions_of(self.single_observation_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes, and return their first observations."""
        observations, info = super().reset(seed=seed, options=options)
        return observations[:, POSITIONS], info

    def step(self, action: NDArray[Any]) -> Any:
        """Take a step."""
        observations, *others = super().step(action)
        return observations[:, POSITIONS], *others

    def get_state(self) -> dict[str, Any]:
        """Return where the episodes stand."""
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in EPISODES}
        return {"random": self.np_random.bit_generator.state, **arrays}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from where `get_state()` was called."""
        self.np_random.bit_generator.state = state["random"]
        for name in EPISODES:
            setattr(self, name, state[name].numpy())


def _positions_of(space: Any) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(space.low[POSITIONS], space.high[POSITIONS], dtype=space.dtype)


def make_single_cartpole(**settings: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment of the default task; Gymnasium adds the limit of 500 steps."""
    env = CartPoleEnv(**settings)
    shown = _positions_of(env.observation_space)
    return TransformObservation(env, lambda observation: observation[POSITIONS], shown)


gymnasium.register(
    id=DEFAULT_TASK,
    entry_point="tamiyo_rl.training.envs.make:make_single_cartpole",
    vector_entry_point="tamiyo_rl.training.envs.make:PositionOnlyCartPole",
    max_episode_steps=500,
    reward_threshold=475.0,
)
gymnasium.register(
    id="tamiyo-rl/ColourRecall-v1",
    entry_point="tamiyo_rl.training.envs.colour_recall:ColourRecall",
    reward_threshold=0.95,
)
gymnasium.register(
    id="tamiyo-rl/PositionOnlyPendulum-v1",
    entry_point="tamiyo_rl.training.envs.pendulum:make_pendulum",
    max_episode_steps=200,
)
