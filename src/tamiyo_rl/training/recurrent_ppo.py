"""Proximal policy optimisation with a recurrent policy: a reference user of the bundle."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.contract.audit import audit_gradients
from tamiyo_rl.policy.protocol import HiddenState, PolicyBundle
from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.training.environments import EnvironmentStep, EnvironmentStepper
from tamiyo_rl.training.normalization import FeatureNormalizer, RewardScaler
from tamiyo_rl.training.ppo_loss import PPOLoss, ppo_loss
from tamiyo_rl.training.rollout_buffer import RolloutBatch, RolloutBuffer


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


class UpdateReport(NamedTuple):
    """What one update did.

    Attributes:
        steps: Environment steps so far.
        episode_return: Mean return of the last 100 episodes; NaN before the first ends.
        policy_loss: Mean over the minibatches.
        value_loss: Mean over the minibatches.
        entropy: Mean over the minibatches, in nats.
        approx_kl: Mean estimate of the divergence from the rollout's policy, in nats.
        clip_fraction: Share of the ratios that were clipped.
        first_ratio_error: Largest distance of the ratio from 1 in the first minibatch, where the
            parameters are those of the rollout: rounding, if C7 holds.
    """

    steps: int
    episode_return: float
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    first_ratio_error: float


class RecurrentPPO:
    """Trains a bundle with PPO (Schulman et al. 2017, arXiv:1707.06347) on a vector environment.

    Observations and rewards are normalised by running statistics. The LSTM is trained through
    whole stored sequences that continue from the rollout's hidden states (truncated BPTT). Before
    the first update the loss is audited by its terms: see `audit_gradients`.

    Args:
        envs: Gymnasium vector environment, in any autoreset mode.
        bundle: The policy; its sizes are those of the environment's spaces.
        config: Settings.

    Raises:
        ValueError: If the spaces are not supported or do not fit the bundle, or the settings do
            not fit the number of environments.
        ContractError: From `train()`, if a term of the first loss is a constant or a parameter is
            not trained.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import PPOConfig, RecurrentPPO, make_cartpole_without_velocities

        envs = make_cartpole_without_velocities(num_envs=8)
        bundle = LSTMPolicyBundle.from_spaces(
            envs.single_observation_space, envs.single_action_space, hidden_dim=32
        )
        trainer = RecurrentPPO(envs, bundle, PPOConfig(total_steps=2048, epochs=2))
        for report in trainer.train():
            print(report.steps, report.first_ratio_error < 1e-3)
        ```

        ```text
        1024 True
        2048 True
        ```
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], bundle: PolicyBundle, config: PPOConfig
    ) -> None:
        self.bundle, self.config, self.envs = bundle, config, envs
        self.spaces = SpaceAdapter(envs.single_observation_space, envs.single_action_space)
        self._require_fit()
        self.normalizer = FeatureNormalizer(bundle.feature_dim)
        self.reward_scaler = RewardScaler(envs.num_envs, config.gamma)
        self.optimizer = torch.optim.Adam(bundle.parameters(), lr=config.learning_rate, eps=1e-5)
        self.buffer = RolloutBuffer(
            bundle, envs.num_envs, config.num_steps, sequence_length=config.sequence_length
        )
        self.steps = 0
        self._audited = False
        self._stepper = EnvironmentStepper(envs)
        self._episodes = EpisodeReturns(envs.num_envs)

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole rollouts that `config.total_steps` holds."""
        return self.config.total_steps // self._rollout_steps * self._rollout_steps

    @property
    def _rollout_steps(self) -> int:
        return self.envs.num_envs * self.config.num_steps

    def train(self) -> Iterator[UpdateReport]:
        """Train for as many whole rollouts as `total_steps` holds, yielding a report after each."""
        torch.manual_seed(self.config.seed)
        self._begin()
        while self.steps < self.total_steps:
            remaining = 1.0 - self.steps / self.total_steps
            self._collect()
            yield self._update(remaining)

    def _require_fit(self) -> None:
        for name in ("feature_dim", "action_dims"):
            needed, own = getattr(self.spaces, name), getattr(self.bundle, name)
            if needed != own:
                raise ValueError(
                    f"bundle: expected {name}={needed} for these environments, got {own}. Build "
                    "it with LSTMPolicyBundle.from_spaces()."
                )
        if not self.total_steps:
            raise ValueError(
                f"total_steps: expected at least the {self._rollout_steps} steps of one rollout, "
                f"got {self.config.total_steps}."
            )
        rows = self._rollout_steps // self.config.sequence_length
        if rows % self.config.num_minibatches:
            raise ValueError(
                f"num_minibatches: expected a divisor of the {rows} rows, got "
                f"{self.config.num_minibatches}."
            )

    def _begin(self) -> None:
        self._features = self._observe(self._stepper.reset(self.config.seed))
        self._hidden = self.bundle.initial_hidden(self.envs.num_envs)
        self._starts = torch.ones(self.envs.num_envs, dtype=torch.bool, device="cpu")

    def _observe(self, observations: Any) -> torch.Tensor:  # noqa: ANN401 - any space
        features = self.spaces.features(observations, self.bundle.device)
        self.normalizer.update(features)
        return self.normalizer(features)

    def _collect(self) -> None:
        """Fill the buffer with one rollout."""
        self.buffer.reset()
        for _ in range(self.config.num_steps):
            self._collect_step()
        last = self.bundle.get_value(self._features, self._hidden, episode_starts=self._starts)
        self.buffer.finish(last, gamma=self.config.gamma, gae_lambda=self.config.gae_lambda)
        self.steps += self._rollout_steps

    def _collect_step(self) -> None:
        result = self.bundle.get_action(
            self._features, hidden=self._hidden, episode_starts=self._starts
        )
        step = self._stepper.step(self.spaces.actions(result.action))
        self._episodes.add(step)
        ended = step.terminated | step.truncated
        self.buffer.add(
            self._features,
            result,
            hidden=self._hidden,
            episode_starts=self._starts,
            rewards=self.reward_scaler(step.rewards, ended, step.valid),
            terminated=step.terminated,
            truncated=step.truncated,
            final_values=self._final_values(step, result.hidden),
            valid=step.valid,
        )
        self._features, self._hidden = self._observe(step.observations), result.hidden
        self._starts = torch.as_tensor(step.starts, device="cpu")

    def _final_values(self, step: EnvironmentStep, hidden: HiddenState) -> torch.Tensor | None:
        if step.final_observations is None or not step.truncated.any():
            return None
        features = self.spaces.features(step.final_observations, self.bundle.device)
        return self.bundle.get_value(self.normalizer(features), hidden)

    def _update(self, remaining: float) -> UpdateReport:
        """Train on the buffer, with learning rate and clip range scaled by `remaining`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * remaining
        losses = [
            self._train_minibatch(batch, self.config.clip_range * remaining)
            for _ in range(self.config.epochs)
            for batch in self.buffer.minibatches(self.config.num_minibatches)
        ]
        mean = torch.stack([torch.stack(loss).detach() for loss in losses]).mean(dim=0).tolist()
        policy, value, entropy, approx_kl, clip_fraction, _ = mean
        return UpdateReport(
            steps=self.steps,
            episode_return=self._episodes.mean(),
            policy_loss=policy,
            value_loss=value,
            entropy=entropy,
            approx_kl=approx_kl,
            clip_fraction=clip_fraction,
            first_ratio_error=float(losses[0].ratio_error.detach()),
        )

    def _train_minibatch(self, batch: RolloutBatch, clip_range: float) -> PPOLoss:
        evaluation = self.bundle.evaluate_actions(
            batch.features,
            batch.actions,
            batch.masks,
            batch.hidden,
            episode_starts=batch.episode_starts,
        )
        loss = ppo_loss(evaluation, batch, clip_range)
        self._audit_once(loss, batch)
        value, entropy = self.config.value_coef, self.config.entropy_coef
        self.optimizer.zero_grad(set_to_none=True)
        (loss.policy + value * loss.value - entropy * loss.entropy).backward()
        torch.nn.utils.clip_grad_norm_(self.bundle.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return loss

    def _audit_once(self, loss: PPOLoss, batch: RolloutBatch) -> None:
        """Audit the first loss whose rows start an episode: only those use the initial state."""
        if self._audited or not batch.episode_starts.episode_starts.any():
            return
        terms = {"policy": loss.policy, "value": loss.value, "entropy": loss.entropy}
        audit_gradients(terms, self.bundle, optimizer=self.optimizer).raise_if_broken()
        self._audited = True


class EpisodeReturns:
    """Sums rewards into the returns of whole episodes, and remembers the last 100.

    Args:
        num_envs: Environments.
    """

    def __init__(self, num_envs: int) -> None:
        self._running = np.zeros(num_envs)
        self._last: deque[float] = deque(maxlen=100)

    def add(self, step: EnvironmentStep) -> None:
        """Take one step in."""
        self._running += step.rewards
        ended = step.terminated | step.truncated
        self._last.extend(self._running[ended].tolist())
        self._running[ended | ~step.valid] = 0.0

    def mean(self) -> float:
        """Return the mean of the last 100 episodes; NaN before the first ends."""
        return float(np.mean(self._last)) if self._last else math.nan
