"""A vector environment that costs almost nothing, so that a rollout times only the policy."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from benchmarks.speed import workload as w

ENVIRONMENTS = 16
TERMINATION_RATE = 0.02
TABLE = 256

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Step = tuple[Floats, Floats, Bools, Bools, dict[str, Any]]


class TableEnv(VectorEnv[Floats, NDArray[np.int64], NDArray[Any]]):
    """Sixteen environments that read their steps from tables, and ignore the actions.

    An environment that terminates returns the first observation of its next episode in the
    same step. The arrays are rows of the tables: they must not be written to.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 -- as gymnasium declares it

    def __init__(self) -> None:
        self.num_envs = ENVIRONMENTS
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (w.FEATURES,))
        self.single_action_space = gymnasium.spaces.Discrete(w.ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, ENVIRONMENTS)
        self.action_space = batch_space(self.single_action_space, ENVIRONMENTS)
        self.index = 0
        self.draw_tables()

    def draw_tables(self) -> None:
        """Draw the steps that the environments repeat."""
        generator = np.random.default_rng(0)
        shape = (TABLE, ENVIRONMENTS, w.FEATURES)
        self.observations = generator.standard_normal(shape, dtype=np.float32)
        self.terminations = generator.random((TABLE, ENVIRONMENTS)) < TERMINATION_RATE
        self.truncations = np.zeros(ENVIRONMENTS, dtype=np.bool_)
        self.rewards = np.zeros(ENVIRONMENTS, dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Go back to the first row of the tables; the arguments are ignored."""
        del seed, options
        self.index = 0
        return self.observations[0], {}

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Return the next row of the tables."""
        del actions
        self.index = (self.index + 1) % TABLE
        terminated = self.terminations[self.index]
        return self.observations[self.index], self.rewards, terminated, self.truncations, {}
