"""Rollouts of the peers, on the same tables of observations and episode ends."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sb3_contrib.ppo_recurrent.policies import MlpLstmPolicy

# As in update/torchrl.py, TorchRL and tensordict are not typed.
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from torchrl.modules import set_recurrent_mode  # type: ignore[import-untyped]  # it ships no types

from benchmarks.rollout_env import ENVIRONMENTS, RolloutEnv
from benchmarks.update.sb3 import SB3Env, recurrent_ppo
from benchmarks.update.torchrl import actor_critic
from benchmarks.workload import HIDDEN

STORED = ("observation", "is_init", "action", "action_log_prob", "state_value")
STATE = ("recurrent_state_h", "recurrent_state_c")


def make_sb3_rollout(steps: int) -> Callable[[], None]:
    """Return what makes sb3-contrib collect `steps` steps of each environment.

    Its `collect_rollouts` also stores the state of each step and computes the advantages.
    """
    env = SB3Env()
    algorithm = recurrent_ppo(MlpLstmPolicy, env, n_steps=steps, batch_size=steps)
    _, callback = algorithm._setup_learn(steps)  # noqa: SLF001 -- `learn` starts so; no public way

    def rollout() -> None:
        algorithm.collect_rollouts(env, callback, algorithm.rollout_buffer, steps)

    return rollout


def make_torchrl_rollout(steps: int) -> Callable[[], None]:
    """Return what collects `steps` steps of each environment with a policy of TorchRL."""
    collect = TorchRLRollout(steps)

    def rollout() -> None:
        collect()

    return rollout


class TorchRLRollout:
    """The policy in a loop that carries one TensorDict, as a collector does.

    Args:
        steps: Steps of each environment that one call collects.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.env, self.policy = RolloutEnv(), actor_critic()
        self.carry = first_carry(self.env)

    @torch.no_grad()
    def __call__(self) -> TensorDict:
        """Collect a rollout `[B, T]`."""
        with set_recurrent_mode(mode=False):
            return torch.stack([self.step() for _ in range(self.steps)], dim=1)

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


def first_carry(env: RolloutEnv) -> TensorDict:
    """Return the input of the policy at the first step."""
    data = {"observation": torch.from_numpy(env.reset()[0])}
    data["is_init"] = torch.ones(ENVIRONMENTS, 1, dtype=torch.bool)
    data |= {key: torch.zeros(ENVIRONMENTS, 1, HIDDEN) for key in STATE}
    return TensorDict(data, batch_size=[ENVIRONMENTS])
