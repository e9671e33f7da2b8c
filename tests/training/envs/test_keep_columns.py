"""`KeepColumns`: what it cannot keep is named."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from tamiyo_rl.training import KeepColumns


@pytest.mark.parametrize("columns", [(0, 4), (-1,), (), (True,), (1.0,), "01", 2, None])
def test_a_column_that_is_not_there_is_named(columns: Any) -> None:
    envs = gymnasium.make_vec("CartPole-v1", num_envs=2)
    with pytest.raises(ValueError, match="columns: expected a list of ints from 0 to 3, got"):
        KeepColumns(envs, columns)


def test_other_observations_are_named() -> None:
    envs = gymnasium.make_vec("FrozenLake-v1", num_envs=2)
    with pytest.raises(ValueError, match=r"env: expected observations of a .* Box, got Discrete"):
        KeepColumns(envs, (0,))


def test_another_environment_is_named() -> None:
    with pytest.raises(TypeError, match="env: expected a Gymnasium VectorEnv, got"):
        KeepColumns(gymnasium.make("CartPole-v1"), (0,))  # type: ignore[arg-type]  # wrong on purpose


def test_the_dtype_of_the_observations_is_kept() -> None:
    class Bytes(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(0, 255, (3,), dtype=np.uint8)
        action_space = gymnasium.spaces.Discrete(2)

    envs = KeepColumns(SyncVectorEnv([Bytes] * 2), [2])
    assert envs.observation_space.dtype == np.uint8
