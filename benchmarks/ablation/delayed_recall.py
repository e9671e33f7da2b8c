"""A task of pure memory: name at the end the cue that was shown first."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

CUES = 4
DELAY = 16

Observation = NDArray[np.float32]


class DelayedRecall(gymnasium.Env[Observation, np.int64]):
    """Shows one of four cues at the first step, and asks for it sixteen steps later.

    The reward is 1 for the right answer, else 0; actions before the question have no effect. An
    observation is the cue, one-hot, and whether it is asked for. A policy without memory gets 0.25.
    """

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (CUES + 1,))
    action_space: gymnasium.spaces.Discrete = gymnasium.spaces.Discrete(CUES)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a cue, and show it."""
        super().reset(seed=seed, options=options)
        self.cue = int(self.np_random.integers(CUES))
        self.time = 0
        return np.eye(CUES + 1, dtype=np.float32)[self.cue], {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take an action, which counts where the cue was asked for."""
        asked = self.time == DELAY
        self.time += 1
        observation = np.zeros(CUES + 1, dtype=np.float32)
        observation[CUES] = self.time == DELAY
        return observation, float(asked and action == self.cue), asked, False, {}
