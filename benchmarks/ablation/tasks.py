"""The tasks, each for one environment or for several side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TransformObservation

from benchmarks.ablation.delayed_recall import DelayedRecall
from tamiyo_rl.training import make_envs

CARTPOLE = "tamiyo-rl/PositionOnlyCartPole-v1"
NUM_ENVS = 8
WINDOW = 20  # episodes
ANGLES = 4  # the observation of Acrobot holds two angles, by cosine and sine, and two velocities


class Task(NamedTuple):
    """A task, solved once the last twenty episodes of training return enough on average.

    Attributes:
        solved_at: The mean return.
        limit: Environment steps of a training; the rates fall to 0 over them.
        make_vector: Makes that many environments for us.
        make_single: Makes one environment for sb3-contrib, which puts them side by side.
    """

    solved_at: float
    limit: int
    make_vector: Callable[[int], VectorEnv[Any, Any, Any]]
    make_single: Callable[[], gymnasium.Env[Any, Any]]


def make_acrobot() -> gymnasium.Env[Any, Any]:
    """Make `Acrobot-v1` without its two velocities."""
    env = gymnasium.make("Acrobot-v1")
    shown = gymnasium.spaces.Box(-1.0, 1.0, (ANGLES,), np.float32)
    return TransformObservation(env, lambda observation: observation[:ANGLES], shown)


def side_by_side(
    make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int
) -> VectorEnv[Any, Any, Any]:
    """Make several environments of one kind in this process."""
    return SyncVectorEnv([make] * num_envs)


TASKS = {
    "CartPole": Task(
        475.0, 150_000, partial(make_envs, CARTPOLE), partial(gymnasium.make, CARTPOLE)
    ),
    "recall": Task(0.95, 100_000, partial(side_by_side, DelayedRecall), DelayedRecall),
    "Acrobot": Task(-100.0, 100_000, partial(side_by_side, make_acrobot), make_acrobot),
}
