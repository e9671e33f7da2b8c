"""Returns and lengths of the episodes that a training finished."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tamiyo_rl.training.distributed import mean_over_processes
from tamiyo_rl.training.envs.stepper import EnvironmentStep

WINDOW = 100


class EpisodeStatistics:
    """Sums rewards and steps into whole episodes, and remembers the last 100.

    Args:
        num_envs: Environments.
    """

    def __init__(self, num_envs: int) -> None:
        self._return = np.zeros(num_envs)
        self._length = np.zeros(num_envs)
        self._last_returns: deque[float] = deque(maxlen=WINDOW)
        self._last_lengths: deque[float] = deque(maxlen=WINDOW)

    def begin(self) -> None:
        """Begin new episodes."""
        self._return = np.zeros_like(self._return)
        self._length = np.zeros_like(self._length)

    def add(self, step: EnvironmentStep) -> None:
        """Take one step in; a step that only reset its environment counts for nothing."""
        np.add(self._return, step.rewards, out=self._return, where=step.valid)
        self._length += step.valid
        ended = step.terminated | step.truncated
        if ended.any():
            self._last_returns.extend(self._return[ended].tolist())
            self._last_lengths.extend(self._length[ended].tolist())
            self._return[ended] = 0.0
            self._length[ended] = 0.0

    @property
    def mean_return(self) -> float:
        """Mean return of each process's last 100 episodes; NaN before the first ends."""
        return _mean(self._last_returns)

    @property
    def mean_length(self) -> float:
        """Mean length of each process's last 100 episodes, in steps; NaN before the first ends."""
        return _mean(self._last_lengths)

    def state_dict(self) -> dict[str, Any]:
        """Return the running episodes and the remembered ones."""
        return {name: torch.from_numpy(np.array(value)) for name, value in vars(self).items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ValueError: If it is of another number of environments; nothing changes then.
        """
        loaded = {name: state[name].clone().numpy() for name in vars(self)}
        for name in ("_return", "_length"):
            expected = self._return.shape
            got = np.shape(loaded[name])
            if got != expected:
                raise ValueError(
                    f'state["{name}"]: expected shape {list(expected)}, got {list(got)}.'
                )
        self._return = loaded["_return"]
        self._length = loaded["_length"]
        self._last_returns = deque(loaded["_last_returns"].tolist(), WINDOW)
        self._last_lengths = deque(loaded["_last_lengths"].tolist(), WINDOW)


def _mean(values: deque[float]) -> float:
    """Return the mean of the values of all processes."""
    own = torch.tensor([sum(values), len(values)], dtype=torch.float64, device="cpu")
    total, count = mean_over_processes(own).tolist()
    return total / count if count else math.nan
