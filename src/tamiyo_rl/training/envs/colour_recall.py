"""A task with images that needs memory: which colour was shown at the beginning?"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

SIZE = 24
SQUARE = 8
NOISE = 32
NUM_COLOURS = 3
LENGTH = 5


class ColourRecall(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """Shows a red, green or blue square once, and then four times noise.

    Observations are images of 3 x 24 x 24, and the square lies anywhere. At each image of noise,
    the number of the colour is worth 0.25, so that the best return is 1. A policy without memory
    cannot do better than 1/3 on average.
    """

    observation_space = Box(0, 255, (NUM_COLOURS, SIZE, SIZE), np.uint8)
    action_space = Discrete(NUM_COLOURS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode, and show its colour."""
        super().reset(seed=seed, options=options)
        self._time = 0
        self._colour = int(self.np_random.integers(NUM_COLOURS))
        image = self._noise()
        top, left = self.np_random.integers(0, SIZE - SQUARE + 1, 2)
        image[self._colour, top : top + SQUARE, left : left + SQUARE] = 255
        return image, {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Reward the colour, and show noise."""
        is_right = self._time > 0 and action == self._colour
        self._time += 1
        reward = is_right / (LENGTH - 1)
        return self._noise(), reward, self._time == LENGTH, False, {}

    def _noise(self) -> NDArray[np.uint8]:
        shape = NUM_COLOURS, SIZE, SIZE
        return self.np_random.integers(0, NOISE, shape, np.uint8)
