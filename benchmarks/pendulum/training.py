"""One training of ours, and one of sb3-contrib, each with the returns of its evaluation."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import gymnasium
import torch
from numpy.typing import ArrayLike

from benchmarks.pendulum.settings import (
    CONFIG,
    ENVIRONMENTS,
    EPISODES,
    HEAD_DIMS,
    HIDDEN,
    PEER,
    PEER_ENVIRONMENTS,
    PEER_STEPS,
    TASK,
)
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import RecurrentPPO, evaluate_policy, make_envs

Training = tuple[int, float, ArrayLike]  # steps, processor seconds, returns


def train_ours(seed: int) -> Training:
    """Train with a seed, and evaluate with the most probable actions."""
    torch.manual_seed(seed)
    envs = make_envs(TASK, ENVIRONMENTS)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space,
        envs.single_action_space,
        hidden_dim=HIDDEN,
        critic="separate",
        head_dims=HEAD_DIMS,
    )
    trainer = RecurrentPPO(envs, bundle, replace(CONFIG, seed=seed))
    began = time.process_time()
    for _ in trainer.train():
        pass
    seconds = time.process_time() - began
    task = make_envs(TASK, 20)
    returns = evaluate_policy(bundle, task, trainer.normalizer, episodes=EPISODES, seed=1000)
    return trainer.steps, seconds, returns


def train_peer(seed: int) -> Training:
    """Train as RL Baselines3 Zoo does, and evaluate with the most probable actions."""
    from sb3_contrib import RecurrentPPO as PeerPPO  # noqa: PLC0415 - only the training needs it
    from stable_baselines3.common.env_util import make_vec_env  # noqa: PLC0415 - as above
    from stable_baselines3.common.evaluation import evaluate_policy as evaluate  # noqa: PLC0415 - as above

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(TASK)

    envs = make_vec_env(make, PEER_ENVIRONMENTS, seed=seed)
    algorithm = PeerPPO("MlpLstmPolicy", envs, seed=seed, device="cpu", **PEER)
    began = time.process_time()
    algorithm.learn(PEER_STEPS)
    seconds = time.process_time() - began
    task = make_vec_env(make, 20, seed=1000)
    returns, _ = evaluate(algorithm, task, EPISODES, return_episode_rewards=True)
    return algorithm.num_timesteps, seconds, returns


TRAININGS = {"tamiyo-rl": train_ours, "sb3-contrib": train_peer}
