"""One way to step through every autoreset mode, compared with a scalar environment."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tamiyo_rl.training import EnvironmentStepper, make_cartpole_without_velocities

LENGTHS = [2, 3, 1]


class Scripted(gymnasium.Env[Any, Any]):
    """Shows episode and step; episodes of 2, 3, 1, 2, ... steps; every other one is truncated."""

    observation_space = gymnasium.spaces.Box(-100, 100, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.episode, self.time = -1, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        self.episode, self.time = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        ended = self.time == LENGTHS[self.episode % 3]
        truncated = self.episode % 2 == 1
        return self._observation(), 1.0, ended and not truncated, ended and truncated, {}

    def _observation(self) -> Any:
        return np.array([self.episode, self.time], dtype=np.float32)


def transitions(mode: AutoresetMode) -> list[tuple[Any, ...]]:
    """Collect (before, after, start, terminated, truncated) of every valid step."""
    stepper = EnvironmentStepper(SyncVectorEnv([Scripted] * 2, autoreset_mode=mode))
    seen: list[tuple[Any, ...]] = []
    before, starts = stepper.reset(seed=0), np.ones(2, dtype=bool)
    while len(seen) < 12:
        step = stepper.step(np.zeros(2, dtype=np.int64))
        after = step.observations if step.final_observations is None else step.final_observations
        if step.valid[0]:
            flags = bool(starts[0]), bool(step.terminated[0]), bool(step.truncated[0])
            seen.append((before[0].tolist(), after[0].tolist(), *flags))
        before, starts = step.observations.copy(), step.starts
    return seen


def scalar_transitions() -> list[tuple[Any, ...]]:
    env = Scripted()
    seen: list[tuple[Any, ...]] = []
    before, start = env.reset()[0], True
    while len(seen) < 12:
        after, _, terminated, truncated, _ = env.step(0)
        seen.append((before.tolist(), after.tolist(), start, terminated, truncated))
        start = terminated or truncated
        before = env.reset()[0] if start else after
    return seen


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_mode_gives_the_transitions_of_a_scalar_environment(mode: AutoresetMode) -> None:
    assert transitions(mode) == scalar_transitions()


def test_default_task_shows_positions_and_hides_velocities() -> None:
    envs, full = make_cartpole_without_velocities(4), gymnasium.make_vec("CartPole-v1", num_envs=4)
    shown, whole = envs.reset(seed=3)[0], full.reset(seed=3)[0]
    np.testing.assert_array_equal(shown, whole[:, [0, 2]])
    assert envs.single_observation_space.shape == (2,)
    assert envs.observation_space.contains(shown)
