"""The variants: the base, and the trainings that differ from it in one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.ablation.changes import (
    Network,
    ZeroStates,
    as_pytorch,
    detach_critic,
    orthogonal,
    reset_heads,
    scale_policy,
    tanh_heads,
    use_peer_epsilon,
    use_rollout_advantages,
)
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO

# Those of `CartPoleNoVel-v1` in RL Baselines3 Zoo, `hyperparams/ppo_lstm.yml`.
CONFIG: Mapping[str, Any] = {
    "num_steps": 32,
    "sequence_length": 32,
    "num_minibatches": 1,
    "epochs": 20,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "learning_rate": 1e-3,
    "max_grad_norm": 0.5,
    "normalization_steps": 0,
}
DEFAULTS: Mapping[str, Any] = {name: getattr(PPOConfig(), name) for name in CONFIG}
POLICY: Mapping[str, Any] = {"hidden_dim": 64, "critic": "separate", "head_dims": (64,)}
FOUR: Mapping[str, Any] = {"num_minibatches": 4, "epochs": 5}
SETTLED: Mapping[str, Any] = {"normalization_steps": 128}


class Variant(NamedTuple):
    """What a variant has in place of what the base has.

    Attributes:
        config: Settings of `PPOConfig`.
        policy: Settings of the policy.
        bundle: Class of the policy.
        change_network: Initialises or changes the network before training.
        change_trainer: Changes the trainer before training.
    """

    config: Mapping[str, Any] = {}
    policy: Mapping[str, Any] = {}
    bundle: type[LSTMPolicyBundle] = LSTMPolicyBundle
    change_network: Callable[[Network], None] = as_pytorch
    change_trainer: Callable[[RecurrentPPO], None] = use_peer_epsilon


def keep(_: object) -> None:
    """Leave the network or the trainer as the package makes it."""


def detached_from_critic(network: Network) -> None:
    """Initialise as the base does, and detach the critic."""
    as_pytorch(network)
    detach_critic(network)


def with_tanh(network: Network) -> None:
    """Initialise as the base does, with tanh."""
    as_pytorch(network)
    tanh_heads(network)


VARIANTS: Mapping[str, Variant] = {
    "base": Variant(),
    "shared": Variant(policy={"critic": "shared"}),
    "shared-detached": Variant(
        policy={"critic": "shared"},
        change_network=detached_from_critic,
    ),
    "linear-heads": Variant(policy={"head_dims": ()}),
    "tanh": Variant(change_network=with_tanh),
    "small-policy": Variant(change_network=scale_policy),
    "orthogonal": Variant(change_network=orthogonal),
    "forget-gates": Variant(change_network=reset_heads),
    "raw-observations": Variant(config={"normalize_observations": False}),
    "raw-rewards": Variant(config={"normalize_rewards": False}),
    "four-minibatches": Variant(config=FOUR),
    "rollout-advantages": Variant(
        config=FOUR,
        change_trainer=use_rollout_advantages,
    ),
    "by-step": Variant(config={"sequence_length": 1}),
    "zero-states": Variant(
        config={"consistency_tolerance": 1e9},  # training does not see what the rollout saw
        bundle=ZeroStates,
    ),
    "ten-epochs": Variant(config={"epochs": 10}),
    "adam-epsilon": Variant(change_trainer=keep),
    "gradient-norm": Variant(config={"max_grad_norm": 5.0}),
    "gamma": Variant(config={"gamma": 0.99, "gae_lambda": 0.95}),
    "learning-rate": Variant(config={"learning_rate": 2e-3}),
    "settled": Variant(config=SETTLED),
    "peer-settings": Variant(config=SETTLED, change_network=keep, change_trainer=keep),
    "unsettled": Variant(
        config={**DEFAULTS, "normalization_steps": 0}, change_network=keep, change_trainer=keep
    ),
    "defaults": Variant(config=DEFAULTS, change_network=keep, change_trainer=keep),
}
