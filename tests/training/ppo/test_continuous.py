"""PPO with continuous actions: the ratio, the bounds, and a task that needs both kinds of heads."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import SyncVectorEnv

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO, evaluate_policy, make_envs


class Aim(gymnasium.Env[Any, Any]):
    """Shows a target at the first step, which a number and a choice have to hit at each step."""

    observation_space = Box(-1, 1, (2,))
    action_space = Dict(number=Box(-1, 1, (1,)), side=Discrete(2))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.target = float(self.np_random.uniform(-0.8, 0.8))
        self.time = 0
        return np.array([self.target, 1.0], np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.time += 1
        distance = abs(float(action["number"][0]) - self.target)
        reward = 1.0 - distance + (action["side"] == (self.target > 0))
        return np.zeros(2, np.float32), reward, self.time == 4, False, {}


def make_trainer(**config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    envs = SyncVectorEnv([Aim] * 8)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=16
    )
    settings = {"num_steps": 32, "sequence_length": 32, "num_minibatches": 2, "epochs": 5}
    return RecurrentPPO(envs, bundle, PPOConfig(**settings | config))


@pytest.mark.clause("C7")
def test_the_first_ratio_is_one_in_every_update_and_actions_stay_in_their_bounds() -> None:
    trainer = make_trainer(total_steps=2_560)
    reports = list(trainer.train())  # the environment asserts that each action is in its space
    assert len(reports) == 10
    assert all(report.first_ratio_error < 1e-4 for report in reports)
    assert next(trainer.buffer.sequences()).actions["number"].abs().max() > 1
    assert {"log_std", "head/number", "head/side"} <= set(reports[-1].gradient_norms)


def test_training_learns_to_hit_the_target_with_both_heads() -> None:
    trainer = make_trainer(total_steps=15_000, learning_rate=3e-3)
    list(trainer.train())
    returns = evaluate_policy(
        trainer.bundle, SyncVectorEnv([Aim] * 8), trainer.normalizer, episodes=40
    )
    assert returns.mean() > 7.0  # of 8; the same number and side everywhere give at most 5.4


def test_the_pendulum_trains_by_its_id() -> None:
    envs = make_envs("tamiyo-rl/PositionOnlyPendulum-v1", 2)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=8
    )
    config = PPOConfig(total_steps=256, num_steps=64, num_minibatches=1)
    reports = list(RecurrentPPO(envs, bundle, config).train())
    assert all(report.first_ratio_error < 1e-4 for report in reports)
