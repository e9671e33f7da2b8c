"""The runs: a policy, the task it is trained on, and the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from gymnasium.vector import VectorEnv

from benchmarks.curves.loop import Loop, Progress
from benchmarks.curves.mistakes import (
    InitialStateDetached,
    PolicyLossFromTheRollout,
    ResetsIgnored,
    ValueLossFromTheRollout,
)
from benchmarks.curves.tasks import make_repeat
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import FeatureNormalizer, PPOConfig, make_envs

NUM_ENVS = 8
FACTORS: dict[str, Any] = {"gamma": 0.99, "gae_lambda": 0.95, "max_grad_norm": 5.0}
LONG: dict[str, Any] = {
    "total_steps": 150_000,
    "num_steps": 128,
    "num_minibatches": 4,
    "learning_rate": 1e-3,
} | FACTORS
SHORT: dict[str, Any] = {
    "total_steps": 20_000,
    "num_steps": 64,
    "sequence_length": 64,
    "num_minibatches": 4,
    "epochs": 4,
} | FACTORS


def train_on_cartpole(policy: type[LSTMPolicyBundle], seed: int) -> Iterator[Progress]:
    """Train on CartPole without velocities."""
    envs = make_envs(num_envs=NUM_ENVS)
    bundle = _build(policy, envs, seed, hidden_dim=64)
    return Loop(envs, bundle, PPOConfig(seed=seed, **LONG)).train()


def train_to_repeat(policy: type[LSTMPolicyBundle], seed: int) -> Iterator[Progress]:
    """Train to repeat the cue that the first observation shows."""
    envs = make_repeat(NUM_ENVS, shown=True)
    return _repeat_loop(envs, _build(policy, envs, seed), seed).train()


def tune_the_initial_state(policy: type[LSTMPolicyBundle], seed: int) -> Iterator[Progress]:
    """Train to repeat, then freeze the policy, and tune its initial state to a cue not shown."""
    envs = make_repeat(NUM_ENVS, shown=True)
    taught = _build(LSTMPolicyBundle, envs, seed, learn_initial_hidden=True)
    teacher = _repeat_loop(envs, taught, seed)
    list(teacher.train())

    envs = make_repeat(NUM_ENVS, shown=False)
    bundle = _build(policy, envs, seed, learn_initial_hidden=True)
    bundle.load_state_dict(taught.state_dict())
    for name, parameter in bundle.named_parameters():
        parameter.requires_grad_("initial" in name or "value" in name)
    return _repeat_loop(envs, bundle, seed, 1e-2, teacher.trainer.normalizer).train()


def _repeat_loop(
    envs: VectorEnv[Any, Any, Any],
    bundle: LSTMPolicyBundle,
    seed: int,
    learning_rate: float = 3e-3,
    normalizer: FeatureNormalizer | None = None,
) -> Loop:
    settings = PPOConfig(learning_rate=learning_rate, seed=seed, **SHORT)
    return Loop(envs, bundle, settings, normalizer)


def _build(
    policy: type[LSTMPolicyBundle], envs: VectorEnv[Any, Any, Any], seed: int, **settings: Any
) -> LSTMPolicyBundle:
    torch.manual_seed(seed)
    return policy.from_spaces(
        envs.single_observation_space,
        envs.single_action_space,
        **({"hidden_dim": 16} | settings),
    )


class Run(NamedTuple):
    """A way to train, and the policy to train."""

    train: Callable[[type[LSTMPolicyBundle], int], Iterator[Progress]]
    policy: type[LSTMPolicyBundle]


RUNS = {
    "cartpole-correct": Run(train_on_cartpole, LSTMPolicyBundle),
    "cartpole-policy-loss": Run(train_on_cartpole, PolicyLossFromTheRollout),
    "cartpole-value-loss": Run(train_on_cartpole, ValueLossFromTheRollout),
    "cartpole-resets": Run(train_on_cartpole, ResetsIgnored),
    "repeat-correct": Run(train_to_repeat, LSTMPolicyBundle),
    "repeat-resets": Run(train_to_repeat, ResetsIgnored),
    "tune-correct": Run(tune_the_initial_state, LSTMPolicyBundle),
    "tune-detached": Run(tune_the_initial_state, InitialStateDetached),
}
