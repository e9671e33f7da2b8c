"""An environment that shows the number of the step, so that each output tells its place."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Clock(gymnasium.Env[np.ndarray, np.int64]):
    """Shows 1, 2, 3, ... and ends each episode by truncation, with a reward of 1 for each step.

    Args:
        length: The steps of an episode.
        first: The steps of the first episode, so that environments side by side end apart.
        reuses_its_array: Writes each observation into the same array.
    """

    def __init__(
        self, length: int = 3, *, first: int | None = None, reuses_its_array: bool = False
    ) -> None:
        self.observation_space = spaces.Box(0.0, 1_000.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length = length
        self.ends_at = first or length
        self.reuses_its_array = reuses_its_array
        self.array = np.zeros(1, np.float32)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(**kwargs)
        return self._show(1), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Show the next number, whatever the action."""
        ends = self.time >= self.ends_at
        if ends:
            self.ends_at = self.length
        return self._show(self.time + 1), 1.0, False, ends, {}

    def _show(self, time: int) -> np.ndarray:
        self.time = time
        if not self.reuses_its_array:
            self.array = np.zeros(1, np.float32)
        self.array[:] = time
        return self.array
