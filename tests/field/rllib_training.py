"""A PPO of RLlib with `LSTMPolicyModule`, as its page shows it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import ray
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from tamiyo_rl.integrations.rllib import LSTMPolicyModule, PPOTorchLearner

MODEL = {"hidden_dim": 16, "max_seq_len": 16}
EVERYTHING = spaces.Dict(
    {
        "action_mask": spaces.MultiDiscrete([2] * 5),
        "level": spaces.Discrete(3, start=1),
        "pair": spaces.MultiDiscrete([2, 3]),
        "position": spaces.Box(-1, 1, (2, 2)),
    }
)


class Everything(gymnasium.Env[Any, Any]):
    """Episodes of random length with observations of several kinds, and masks."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.observation_space = EVERYTHING
        self.action_space = (config or {}).get("action_space", spaces.MultiDiscrete([2, 3]))
        self._valid = np.ones(5, np.int64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self._valid[action[0]]
        assert self._valid[2 + action[1]]
        return self._observe(), float(action[0]), bool(self.np_random.random() < 0.1), False, {}

    def _observe(self) -> Any:
        observation = self.observation_space.sample()
        self._valid = np.array([1, 1, 1, 1, 1])
        self._valid[self.np_random.integers(2)] = 0
        self._valid[2 + self.np_random.integers(3)] = 0
        return observation | {"action_mask": self._valid.copy()}


class NumberAndChoice(gymnasium.Env[Any, Any]):
    """Takes a number beside a choice."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.Dict(
            {"force": spaces.Box(-1, 1, (2,), np.float32), "gear": spaces.Discrete(3)}
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        return (
            self._observe(),
            float(action["gear"]),
            bool(self.np_random.random() < 0.1),
            False,
            {},
        )

    def _observe(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


def make_config(
    env: Any = "CartPole-v1",
    *,
    learner_class: Any = PPOTorchLearner,
    model: dict[str, Any] | None = None,
    **training: Any,
) -> PPOConfig:
    """Make the settings of a small training in one process."""
    settings = {"train_batch_size_per_learner": 256, "minibatch_size": 128, "num_epochs": 2}
    return (
        PPOConfig()
        .environment(env)
        .debugging(seed=0)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=2,
            env_to_module_connector=lambda *_, **__: MeanStdFilter(),
        )
        .learners(num_learners=0, learner_class=learner_class)
        .rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=LSTMPolicyModule, model_config=MODEL | (model or {})
            )
        )
        .training(**(settings | training))
    )


@contextmanager
def running(config: PPOConfig) -> Iterator[Any]:
    """Build the algorithm, and stop it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RLlib warns about its own settings
        algorithm = config.build_algo()
        try:
            yield algorithm
        finally:
            algorithm.stop()


@contextmanager
def one_machine(**options: Any) -> Iterator[None]:
    """Start Ray on this machine, or connect to it, and end that."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = {"address": "local", "include_dashboard": False, "log_to_driver": False}
        ray.init(**(own | options))
        try:
            yield
        finally:
            ray.shutdown()
