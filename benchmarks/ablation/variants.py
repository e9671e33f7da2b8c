"""The variants: the base, and the trainings that differ from it in one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.ablation.changes import (
    Network,
    ZeroStates,
    detach_critic,
    open_forget_gates,
    orthogonal,
    pytorch_heads,
    scale_policy,
    tanh_heads,
    use_adam_epsilon,
    use_rollout_advantages,
)
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import RecurrentPPO

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
}
POLICY: Mapping[str, Any] = {"hidden_dim": 64, "critic": "separate", "head_dims": (64,)}
FOUR: Mapping[str, Any] = {"num_minibatches": 4, "epochs": 5}


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
    change_network: Callable[[Network], None] = pytorch_heads
    change_trainer: Callable[[RecurrentPPO], None] | None = None


def keep_network(_: Network) -> None:
    """Leave the network as the package initialises it."""


def detached_pytorch_heads(network: Network) -> None:
    """Initialise the heads as the base does, and detach the critic."""
    pytorch_heads(network)
    detach_critic(network)


def tanh_pytorch_heads(network: Network) -> None:
    """Initialise the heads as the base does, with tanh."""
    pytorch_heads(network)
    tanh_heads(network)


VARIANTS: Mapping[str, Variant] = {
    "base": Variant(),
    "shared": Variant(policy={"critic": "shared"}),
    "shared-detached": Variant(
        policy={"critic": "shared"},
        change_network=detached_pytorch_heads,
    ),
    "linear-heads": Variant(policy={"head_dims": ()}),
    "tanh": Variant(change_network=tanh_pytorch_heads),
    "small-policy": Variant(change_network=scale_policy),
    "orthogonal": Variant(change_network=orthogonal),
    "forget-gates": Variant(change_network=open_forget_gates),
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
    "adam-epsilon": Variant(change_trainer=use_adam_epsilon),
    "gradient-norm": Variant(config={"max_grad_norm": 5.0}),
    "gamma": Variant(config={"gamma": 0.99, "gae_lambda": 0.95}),
    "defaults": Variant(
        config={"num_minibatches": 2, "epochs": 10},
        change_network=keep_network,
    ),
}
