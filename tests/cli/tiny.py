"""A training of a second, and what is in its folder."""

from pathlib import Path

TINY = (
    *("--num-envs", "4", "--num-steps", "8", "--sequence-length", "4", "--num-minibatches", "2"),
    *("--epochs", "1", "--hidden-dim", "8", "--total-steps", "320"),
    *("--checkpoint-every", "5"),
)
ENDLESS = ("--total-steps", "3200000")
# A module of a user's own, for `--env tasks:...`.
TASKS = """
from pathlib import Path

import gymnasium
import numpy as np


class Task(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, last=3):
        self.last = last

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), float(action), self.steps == self.last, False, {}

    def close(self):
        with Path("closed").open("a") as file:
            file.write("closed ")


class Doubled(gymnasium.RewardWrapper):
    def reward(self, reward):
        return 2 * reward


gymnasium.register("Short-v0", Task)
gymnasium.register("Endless-v0", Task, kwargs={"last": -1})
"""


def files(folder: Path) -> set[str]:
    """Return the names of the files in a folder, and below it."""
    found = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {path.relative_to(folder).as_posix() for path in found}


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in the files of a folder, and below it."""
    return {name: (folder / name).read_bytes() for name in files(folder)}
