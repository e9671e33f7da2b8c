"""Collection from an environment that costs almost nothing, by our bundle and by its peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from sb3_contrib.ppo_recurrent.policies import MlpLstmPolicy

# As in update/torchrl.py, TorchRL and tensordict are not typed.
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from torchrl.modules import set_recurrent_mode  # type: ignore[import-untyped]  # it ships no types

from benchmarks.speed import workload as w
from benchmarks.speed.bare import BareRollout, lstm
from benchmarks.speed.table_env import ENVIRONMENTS, TableEnv
from benchmarks.speed.timing import median_times, show_times
from benchmarks.speed.update.sb3 import SB3Env, recurrent_ppo
from benchmarks.speed.update.torchrl import actor_critic
from tamiyo_rl import ActionResult, HiddenState, LSTMPolicyBundle
from tamiyo_rl.training import RolloutBuffer

STORED = ("observation", "is_init", "action", "action_log_prob", "state_value")
STATE = ("recurrent_state_h", "recurrent_state_c")


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time the collection of a rollout."""
    methods: dict[str, Callable[[], object]] = {
        "tamiyo-rl": OurRollout(),
        "tamiyo-rl, stored": OurStoredRollout(),
        "raw nn.LSTM step": BareRollout(TableEnv(), lstm(w.FEATURES, w.HIDDEN), w.HIDDEN, w.STEPS),
        "sb3-contrib": make_sb3_rollout(),
        "TorchRL": TorchRLRollout(),
    }
    seconds = median_times(methods, rounds=3 * rounds)
    show_times(console, f"{w.STEPS} steps of {ENVIRONMENTS} environments", seconds)
    return {"cases": [{"seconds": seconds}]}


class OurRollout:
    """Acts with `get_action`, checked and reset at episode starts; stores nothing."""

    def __init__(self) -> None:
        self.env = TableEnv()
        self.bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)

    def __call__(self) -> None:
        """Collect one rollout."""
        hidden = self.bundle.initial_hidden(ENVIRONMENTS)
        starts = torch.ones(ENVIRONMENTS, dtype=torch.bool)
        features = torch.from_numpy(self.env.reset()[0])
        for _ in range(w.STEPS):
            result = self.bundle.get_action(features, hidden=hidden, episode_starts=starts)
            observation, rewards, ended, _, _ = self.env.step(result.action["action"].numpy())
            self.store(features, result, hidden, starts, rewards, ended)
            features = torch.from_numpy(observation)
            starts = torch.from_numpy(ended)
            hidden = result.hidden

    def store(self, *_: object) -> None:
        """Store one step."""


class OurStoredRollout(OurRollout):
    """The same, with every step stored in a `RolloutBuffer`, and the advantages computed."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = RolloutBuffer(self.bundle, ENVIRONMENTS, w.STEPS)
        self.never = np.zeros(ENVIRONMENTS, dtype=np.bool_)

    def __call__(self) -> None:
        """Collect one rollout."""
        self.buffer.reset()
        super().__call__()
        self.buffer.finish(torch.zeros(ENVIRONMENTS), gamma=0.99, gae_lambda=0.95)

    def store(
        self,
        features: torch.Tensor,
        result: ActionResult,
        hidden: HiddenState,
        starts: torch.Tensor,
        rewards: np.ndarray,
        ended: np.ndarray,
    ) -> None:
        """Store one step."""
        self.buffer.add(
            features,
            result,
            hidden=hidden,
            episode_starts=starts,
            rewards=rewards,
            terminated=ended,
            truncated=self.never,
        )


def make_sb3_rollout() -> Callable[[], None]:
    """Return the collection of sb3-contrib, which also stores states and computes advantages."""
    env = SB3Env()
    algorithm = recurrent_ppo(MlpLstmPolicy, env, n_steps=w.STEPS, batch_size=w.STEPS)
    _, callback = algorithm._setup_learn(w.STEPS)

    def rollout() -> None:
        algorithm.collect_rollouts(env, callback, algorithm.rollout_buffer, w.STEPS)

    return rollout


class TorchRLRollout:
    """The policy of TorchRL in a loop that carries one TensorDict, as its collectors do."""

    def __init__(self) -> None:
        self.env = TableEnv()
        self.policy = actor_critic()
        self.carry = first_carry(self.env)

    @torch.no_grad()
    def __call__(self) -> TensorDict:
        """Collect a rollout `[B, T]`."""
        with set_recurrent_mode(mode=False):
            return torch.stack([self.step() for _ in range(w.STEPS)], dim=1)

    def step(self) -> TensorDict:
        """Act once, and carry the state to the next step."""
        self.policy(self.carry)
        stored = self.carry.select(*STORED)
        observation, _, terminated, _, _ = self.env.step(self.carry["action"].numpy())
        self.carry.set("observation", torch.from_numpy(observation))
        self.carry.set("is_init", torch.from_numpy(terminated)[:, None])
        for key in STATE:
            self.carry.set(key, self.carry["next", key])
        return stored


def first_carry(env: TableEnv) -> TensorDict:
    """Return the input of the policy at the first step."""
    data = {"observation": torch.from_numpy(env.reset()[0])}
    data["is_init"] = torch.ones(ENVIRONMENTS, 1, dtype=torch.bool)
    data |= {key: torch.zeros(ENVIRONMENTS, 1, w.HIDDEN) for key in STATE}
    return TensorDict(data, batch_size=[ENVIRONMENTS])
