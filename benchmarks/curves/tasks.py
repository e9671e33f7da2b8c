"""A cue to repeat, shown at the first step or known only from the initial state."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv, VectorEnv

CUES = 4
STEPS = 8
HIDDEN_CUE = 2


class Repeat(gymnasium.Env[Any, Any]):
    """Each step that repeats the cue is worth 1.

    Args:
        shown: Whether the first observation shows the cue, drawn again for each episode. If not,
            every observation is zeros and the cue is always the same.
    """

    observation_space = Box(0.0, 1.0, (CUES,), np.float32)
    action_space = Discrete(CUES)

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Draw a cue, and show it."""
        super().reset(**kwargs)
        self._cue = int(self.np_random.integers(CUES)) if self._shown else HIDDEN_CUE
        self._step = 0
        observation = np.zeros(CUES, np.float32)
        observation[self._cue] = float(self._shown)
        return observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Show nothing, and compare."""
        self._step += 1
        reward = float(action == self._cue)
        return np.zeros(CUES, np.float32), reward, self._step == STEPS, False, {}


def make_repeat(num_envs: int, *, shown: bool) -> VectorEnv[Any, Any, Any]:
    """Make a vector of environments."""
    return SyncVectorEnv([lambda: Repeat(shown=shown)] * num_envs)
