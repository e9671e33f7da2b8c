"""Returns and lengths of the episodes that a training finished."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from tamiyo_rl.training.environments import EnvironmentStep


class EpisodeReturns:
    """Sums rewards into the returns of whole episodes, and remembers the last 100.

    Args:
        num_envs: Environments.
    """

    def __init__(self, num_envs: int) -> None:
        self._running = np.zeros(num_envs)
        self._last: deque[float] = deque(maxlen=100)

    def add(self, step: EnvironmentStep) -> None:
        """Take one step in."""
        self._running += step.rewards
        ended = step.terminated | step.truncated
        self._last.extend(self._running[ended].tolist())
        self._running[ended | ~step.valid] = 0.0

    def mean(self) -> float:
        """Return the mean of the last 100 episodes; NaN before the first ends."""
        return float(np.mean(self._last)) if self._last else math.nan
