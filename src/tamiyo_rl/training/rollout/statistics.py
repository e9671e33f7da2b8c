"""Running mean and variance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-8


class RunningStatistics:
    """The mean and the variance of all rows so far, as `RunningMeanStd` of Gymnasium computes them.

    One rollout step updates two of them, so this one leaves out what takes NumPy the most time: its
    general `mean` and `var`.

    Args:
        shape: Shape of a row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean: NDArray[np.float64] = np.zeros(shape)
        self.var: NDArray[np.float64] = np.ones(shape)
        self.count = 1e-4

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation, never 0."""
        return np.sqrt(self.var + EPSILON)

    def update(self, rows: NDArray[Any]) -> None:
        """Take rows `[N, *shape]` in."""
        count = len(rows)
        mean = np.add.reduce(rows) / count
        distance = rows - mean
        var = np.add.reduce(distance * distance) / count
        total = self.count + count
        shift = mean - self.mean
        between = shift * shift * self.count * count / total
        self.mean = self.mean + shift * count / total
        self.var = (self.var * self.count + var * count + between) / total
        self.count = total
