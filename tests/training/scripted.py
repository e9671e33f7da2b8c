"""Environments whose episodes end by a script, and a native vector environment of the same kind."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

OBSERVATIONS = gymnasium.spaces.Box(-100, 100, (2,), dtype=np.float32)
ACTIONS = gymnasium.spaces.Discrete(2)


class End(NamedTuple):
    """The length and the end of one episode of a script."""

    length: int
    truncated: bool


TERMINATED = False
TRUNCATED = True
# Consecutive ends of both kinds, and ends at the last step of a rollout of eight steps: with the
# step after each end lost, the first script ends there; without, the second script does.
SCRIPTS = (
    (End(2, TERMINATED), End(3, TRUNCATED), End(1, TRUNCATED), End(1, TERMINATED)),
    (End(3, TRUNCATED), End(1, TERMINATED), End(1, TRUNCATED), End(3, TRUNCATED)),
    (End(9, TERMINATED), End(1, TRUNCATED)),
)


def reward(episode: int, time: int) -> float:
    return float(np.sin(3 * episode + time))


class Scripted(gymnasium.Env[Any, Any]):
    """Shows the episode and the step, with another reward at each step."""

    observation_space = OBSERVATIONS
    action_space = ACTIONS

    def __init__(self, script: Sequence[End]) -> None:
        self.script = script
        self.episode = -1
        self.time = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        self.episode += 1
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        end = self.script[self.episode % len(self.script)]
        ended = self.time == end.length
        flags = ended and not end.truncated, ended and end.truncated
        return self.observe(), reward(self.episode, self.time), *flags, {}

    def observe(self) -> Any:
        return np.array([self.episode, self.time], dtype=np.float32)


class NativeScripted(VectorEnv[Any, Any, Any]):
    """The same scripts in arrays, with no `Env` inside."""

    single_observation_space = OBSERVATIONS
    single_action_space = ACTIONS

    def __init__(self, scripts: Sequence[Sequence[End]], mode: AutoresetMode) -> None:
        self.metadata = {"autoreset_mode": mode}
        self.mode = mode
        self.num_envs = len(scripts)
        self.scripts = scripts
        self.observation_space = batch_space(OBSERVATIONS, self.num_envs)
        self.action_space = batch_space(ACTIONS, self.num_envs)
        self.state = np.zeros((self.num_envs, 2), dtype=np.float32)
        self.ended = np.zeros(self.num_envs, dtype=bool)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if options:
            self._begin(options["reset_mask"])
        else:
            self.state[:, 0] = -1
            self._begin(np.ones(self.num_envs, dtype=bool))
        return self.state, {}  # the array itself, which the next step overwrites

    def _begin(self, rows: Any) -> None:
        self.state[rows, 0] += 1
        self.state[rows, 1] = 0
        self.ended[rows] = False

    def step(self, actions: Any) -> Any:
        resetting = self.ended & (self.mode == AutoresetMode.NEXT_STEP)
        assert not (self.ended & ~resetting).any()
        self.state[~resetting, 1] += 1
        self._begin(resetting)
        ends = [s[int(e) % len(s)] for s, e in zip(self.scripts, self.state[:, 0], strict=True)]
        over = ~resetting & (self.state[:, 1] == [end.length for end in ends])
        truncated = over & [end.truncated for end in ends]
        rewards = np.where(resetting, 0.0, [reward(int(e), int(t)) for e, t in self.state])
        info = {}
        self.ended = over.copy()
        if self.mode == AutoresetMode.SAME_STEP and over.any():
            info = {"final_obs": self.state.copy(), "_final_obs": over}
            self._begin(over)
        return self.state, rewards, over & ~truncated, truncated, info


def make_vector(kind: str, mode: AutoresetMode, scripts: Any = SCRIPTS) -> VectorEnv[Any, Any, Any]:
    makers = [lambda script=script: Scripted(script) for script in scripts]
    if kind == "native":
        return NativeScripted(scripts, mode)
    if kind == "async":
        return AsyncVectorEnv(makers, autoreset_mode=mode)
    return SyncVectorEnv(makers, autoreset_mode=mode, copy=kind != "sync without copies")


KINDS = ("sync", "sync without copies", "async", "native")
