"""Tasks, seeds and settings of the trainings."""

from __future__ import annotations

from tamiyo_rl.training import PPOConfig

TASKS = ("RepeatPreviousEasy", "PositionOnlyCartPoleEasy", "CountRecallEasy")
SEEDS = (0, 1, 2)
ENVIRONMENTS = 16
HIDDEN = 64
EPISODES = 100
CONFIG = PPOConfig(
    total_steps=300_000,
    num_steps=64,
    sequence_length=64,
    num_minibatches=8,
    epochs=10,
    gamma=0.99,
    gae_lambda=0.95,
    learning_rate=3e-3,
    max_grad_norm=5.0,
    normalization_steps=0,
)
