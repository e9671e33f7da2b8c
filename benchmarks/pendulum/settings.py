"""Task, seeds and settings of the trainings."""

from __future__ import annotations

from typing import Any

from tamiyo_rl.training import PPOConfig

TASK = "tamiyo-rl/PositionOnlyPendulum-v1"
# A training of sb3-contrib takes five times as long.
SEEDS = {"tamiyo-rl": (0, 1, 2, 3, 4), "sb3-contrib": (0,)}
EPISODES = 100
GOAL = -250.0
ENVIRONMENTS = 16
HIDDEN = 64
HEAD_DIMS = (64,)
CONFIG = PPOConfig(
    total_steps=400_000,
    num_steps=256,
    sequence_length=32,
    num_minibatches=32,
    epochs=10,
    gamma=0.9,
    gae_lambda=0.95,
    learning_rate=1e-3,
    max_grad_norm=0.5,
    normalization_steps=0,
)
# `PendulumNoVel-v1` in RL Baselines3 Zoo, hyperparams/ppo_lstm.yml; its steps and environments.
PEER_STEPS = 100_000
PEER_ENVIRONMENTS = 4
PEER: dict[str, Any] = {
    "n_steps": 1024,
    "gae_lambda": 0.95,
    "gamma": 0.9,
    "n_epochs": 10,
    "ent_coef": 0.0,
    "learning_rate": 1e-3,
    "clip_range": 0.2,
    "use_sde": True,
    "sde_sample_freq": 4,
}
