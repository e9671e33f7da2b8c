"""What `GymWrapper` of TorchRL 0.14.1 stores shares memory with the array of the environment.

An environment that writes each observation into the same array changes the observations of the
steps before. `SerialEnv` copies.
"""

from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
from torchrl.envs import GymWrapper


class Reusing(gymnasium.Env[np.ndarray, np.int64]):
    """Shows 1, 2, 3, ..., in one array."""

    observation_space = gymnasium.spaces.Box(0.0, 10.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    array = np.zeros(1, np.float32)

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.array[:] = 1
        return self.array, {}

    def step(self, _: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.array[:] += 1
        return self.array, 1.0, False, False, {}


assert version("torchrl") == "0.14.1"
stored = GymWrapper(Reusing()).rollout(4)["observation"].flatten().tolist()
assert stored == [5.0, 5.0, 5.0, 5.0], stored  # a copy would hold 1, 2, 3, 4
