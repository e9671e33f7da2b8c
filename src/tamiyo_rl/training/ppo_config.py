"""Settings of the trainer."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PPOConfig:
    """Settings of `RecurrentPPO`; the defaults solve `CartPole-v1` without velocities.

    Attributes:
        total_steps: Environment steps of the whole training; what is left of a rollout is not used.
        num_steps: Steps of one rollout in each environment.
        sequence_length: Steps of one training row; a divisor of `num_steps`.
        num_minibatches: Minibatches of an epoch; a divisor of the number of rows.
        epochs: Passes over each rollout.
        gamma: Discount factor.
        gae_lambda: Decay of the multi-step advantage estimates.
        learning_rate: Adam's, falling linearly to 0.
        clip_range: Of the probability ratio, falling linearly to 0.
        value_coef: Weight of the value loss.
        entropy_coef: Weight of the entropy bonus.
        max_grad_norm: Largest norm of the gradient.
        seed: Of the environments, the sampling and the order of the minibatches.
    """

    total_steps: int = 150_000
    num_steps: int = 128
    sequence_length: int = 32
    num_minibatches: int = 4
    epochs: int = 10
    gamma: float = 0.99
    gae_lambda: float = 0.95
    learning_rate: float = 1e-3
    clip_range: float = 0.2
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    max_grad_norm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings with which training cannot run."""
        for name in ("total_steps", "num_steps", "sequence_length", "num_minibatches", "epochs"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("gamma", "gae_lambda"):
            self._require(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        for name in ("learning_rate", "clip_range", "max_grad_norm"):
            self._require(name, 0 < getattr(self, name) < math.inf, "positive and finite")
        for name in ("value_coef", "entropy_coef"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "at least 0 and finite")

    def _require(self, name: str, holds: bool, expected: str) -> None:  # noqa: FBT001 - the outcome of a check
        if not holds:
            raise ValueError(f"{name}: expected a number {expected}, got {getattr(self, name)}.")
