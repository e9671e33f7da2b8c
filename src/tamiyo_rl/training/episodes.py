"""Returns and lengths of the episodes that a training finished."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from tamiyo_rl.training.stepping import EnvironmentStep

WINDOW = 100


class EpisodeStatistics:
    """Sums rewards and steps into whole episodes, and remembers the last 100.

    Args:
        num_envs: Environments.
    """

    def __init__(self, num_envs: int) -> None:
        self._return, self._length = np.zeros(num_envs), np.zeros(num_envs)
        self._last_returns: deque[float] = deque(maxlen=WINDOW)
        self._last_lengths: deque[float] = deque(maxlen=WINDOW)

    def add(self, step: EnvironmentStep) -> None:
        """Take one step in; a step that only reset its environment counts for nothing."""
        self._return += np.where(step.valid, step.rewards, 0.0)
        self._length += step.valid
        ended = step.terminated | step.truncated
        self._last_returns.extend(self._return[ended].tolist())
        self._last_lengths.extend(self._length[ended].tolist())
        self._return[ended] = self._length[ended] = 0.0

    @property
    def mean_return(self) -> float:
        """Mean return of the last 100 episodes; NaN before the first ends."""
        return _mean(self._last_returns)

    @property
    def mean_length(self) -> float:
        """Mean length of the last 100 episodes in steps; NaN before the first ends."""
        return _mean(self._last_lengths)


def _mean(values: deque[float]) -> float:
    return float(np.mean(values)) if values else math.nan
