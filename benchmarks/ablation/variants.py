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
        label: The difference in a few words.
        config: Settings of `PPOConfig`.
        policy: Settings of the policy.
        bundle: Class of the policy.
        change_network: Initialises or changes the network before training.
        change_trainer: Changes the trainer before training.
    """

    label: str
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


PEER = "sb3-contrib"
BASE = "base"
DEFAULTS = "defaults"
VARIANTS: Mapping[str, Variant] = {
    BASE: Variant("the base: settings and initialisation of the peer"),
    "shared": Variant("critic reads the policy's LSTM", policy={"critic": "shared"}),
    "shared-detached": Variant(
        "the same, trained by the policy's loss only",
        policy={"critic": "shared"},
        change_network=detached_pytorch_heads,
    ),
    "linear-heads": Variant("no layer after the LSTMs", policy={"head_dims": ()}),
    "tanh": Variant("tanh in place of ReLU", change_network=tanh_pytorch_heads),
    "small-policy": Variant(
        "weights of the policy's output times 0.01", change_network=scale_policy
    ),
    "orthogonal": Variant("heads initialised orthogonally", change_network=orthogonal),
    "forget-gates": Variant("bias of the forget gates 1", change_network=open_forget_gates),
    "raw-observations": Variant(
        "observations as they are", config={"normalize_observations": False}
    ),
    "raw-rewards": Variant("rewards as they are", config={"normalize_rewards": False}),
    "four-minibatches": Variant("4 minibatches of rows, 5 epochs", config=FOUR),
    "rollout-advantages": Variant(
        "the same, advantages normalised over the rollout",
        config=FOUR,
        change_trainer=use_rollout_advantages,
    ),
    "by-step": Variant("rows of 1 step: no gradient through time", config={"sequence_length": 1}),
    "zero-states": Variant(
        "rows begin from zeros",
        config={"consistency_tolerance": 1e9},  # training does not see what the rollout saw
        bundle=ZeroStates,
    ),
    "ten-epochs": Variant("10 epochs", config={"epochs": 10}),
    "adam-epsilon": Variant("Adam's epsilon 1e-8", change_trainer=use_adam_epsilon),
    "gradient-norm": Variant("norm of the gradient up to 5", config={"max_grad_norm": 5.0}),
    "gamma": Variant("gamma 0.99, lambda 0.95", config={"gamma": 0.99, "gae_lambda": 0.95}),
    DEFAULTS: Variant(
        "defaults of `tamiyo-rl train`: 2 minibatches, 10 epochs, the policy's output times 0.01",
        config={"num_minibatches": 2, "epochs": 10},
        change_network=keep_network,
    ),
}
