"""A task with continuous actions: `Pendulum-v1` without its velocity."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.spaces import Box
from gymnasium.wrappers import TransformObservation

SHOWN = slice(0, 2)  # the cosine and the sine of the angle


def make_pendulum(**settings: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment that shows the angle and hides the velocity.

    Args:
        **settings: Handed on to Gymnasium's `PendulumEnv`.
    """
    env = PendulumEnv(**settings)
    space: Any = env.observation_space
    shown = Box(space.low[SHOWN], space.high[SHOWN])
    return TransformObservation(env, lambda observation: observation[SHOWN], shown)
