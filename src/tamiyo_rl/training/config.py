"""Settings of the trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any, Literal, Self, get_args

import torch

from tamiyo_rl.checks import require_positive
from tamiyo_rl.training.checks import require_number, require_seed

Schedule = Literal["linear", "constant"]


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
        learning_rate: Adam's, at the beginning.
        learning_rate_schedule: Whether the learning rate falls linearly to 0 or stays.
        clip_range: Of the probability ratio, at the beginning.
        clip_range_schedule: Whether the clip range falls linearly to 0 or stays.
        clip_value_loss: Whether a step is not rewarded for moving a value by more than the clip
            range.
        target_kl: Divergence at which an update ends early, before the minibatch that exceeds it;
            None for no limit.
        value_coef: Weight of the value loss.
        entropy_coef: Weight of the entropy bonus.
        max_grad_norm: Largest norm of the gradient.
        normalize_observations: Whether features are normalised by running statistics; images that
            an encoder reads never are.
        normalization_steps: Steps of each environment before training, which are not trained on and
            come on top of `total_steps`: the running statistics begin with their observations.
            Statistics of the first few only would scale by far too much what comes after them,
            as in Acrobot, where all episodes begin alike. Pass 0 where a step is costly.
        normalize_rewards: Whether rewards are scaled by the running deviation of the return.
        consistency_tolerance: By how much the first minibatch of an update may miss the rollout's
            log-probabilities and values, in units of `max(1, |value|)`; None for what
            `check_consistency` allows the type. Raise it for a network that amplifies rounding.
        autocast: Whether the network computes in bfloat16 where `torch.autocast` allows it;
            parameters, stored states and losses keep their type.
        seed: Of the environments, the sampling and the order of the minibatches.

    Raises:
        ValueError: If a setting is one with which training cannot run, naming it.

    Examples:
        ```python
        from tamiyo_rl.training import PPOConfig

        for bad in ({"gamma": 1.5}, {"epochs": 0}, {"num_steps": 100, "sequence_length": 32}):
            try:
                PPOConfig(**bad)
            except ValueError as error:
                print(error)
        ```

        ```text
        gamma: expected a number from 0 to 1, got 1.5.
        epochs: expected an int of at least 1, got 0.
        sequence_length: expected a divisor of num_steps=100, got 32.
        ```
    """

    total_steps: int = 80_000
    num_steps: int = 32
    sequence_length: int = 32
    num_minibatches: int = 4
    epochs: int = 5
    gamma: float = 0.98
    gae_lambda: float = 0.8
    learning_rate: float = 2e-3
    learning_rate_schedule: Schedule = "linear"
    clip_range: float = 0.2
    clip_range_schedule: Schedule = "linear"
    clip_value_loss: bool = False
    target_kl: float | None = None
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    max_grad_norm: float = 1.0
    normalize_observations: bool = True
    normalization_steps: int = 128
    normalize_rewards: bool = True
    consistency_tolerance: float | None = None
    autocast: bool = False
    seed: int = 0

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Refuse a setting that does not exist, and name the closest one that does."""
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                close = get_close_matches(name, known, n=1) or known
                raise TypeError(
                    f"{name}: expected a setting of PPOConfig, such as {close[0]}, got a name "
                    "that is not one."
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Refuse settings with which training cannot run."""
        for name in ("total_steps", "num_steps", "sequence_length", "num_minibatches", "epochs"):
            require_positive(**{name: getattr(self, name)})
        self._require(
            "normalization_steps", lambda x: x >= 0 and x % 1 == 0, "whole and at least 0"
        )
        for name in ("gamma", "gae_lambda"):
            require_number(name, getattr(self, name), 0, 1)
        for name in ("learning_rate", "clip_range", "max_grad_norm"):
            self._require(name, lambda x: 0 < x < math.inf, "positive and finite")
        for name in ("value_coef", "entropy_coef"):
            self._require(name, lambda x: 0 <= x < math.inf, "at least 0 and finite")
        flags = "normalize_observations", "normalize_rewards", "autocast", "clip_value_loss"
        for name in flags:
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}: expected True or False, got {getattr(self, name)!r}.")
        for name in ("consistency_tolerance", "target_kl"):
            if getattr(self, name) is not None:
                self._require(name, lambda x: 0 < x < math.inf, "positive and finite")
        for name in ("learning_rate_schedule", "clip_range_schedule"):
            self._require_schedule(name)
        require_seed(self.seed)
        self._require_divisor()

    def _require(self, name: str, holds: Callable[[float], bool], expected: str) -> None:
        value: Any = getattr(self, name)
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not holds(value):
            raise ValueError(f"{name}: expected a number {expected}, got {value!r}.")

    def _require_schedule(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, str) or value not in get_args(Schedule):
            raise ValueError(f"{name}: expected one of {[*get_args(Schedule)]}, got {value!r}.")

    def _require_divisor(self) -> None:
        if self.num_steps % self.sequence_length:
            raise ValueError(
                f"sequence_length: expected a divisor of num_steps={self.num_steps}, got "
                f"{self.sequence_length}."
            )

    def rates(self, remaining: float) -> tuple[float, float]:
        """Return the learning rate and the clip range.

        Args:
            remaining: Share of the training that is left.
        """
        shares = {"linear": remaining, "constant": 1.0}
        return (
            self.learning_rate * shares[self.learning_rate_schedule],
            self.clip_range * shares[self.clip_range_schedule],
        )

    def precision(self, device: torch.device) -> torch.autocast:
        """Return the context in which the network computes on this device."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.autocast)
