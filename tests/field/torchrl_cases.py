"""A PPO loop with the modules of TorchRL, and mistakes of its user."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tensordict import TensorDictBase  # type: ignore[import-untyped]  # it ships no types
from tensordict.nn import (  # type: ignore[import-untyped]  # it ships no types
    TensorDictModule,
    TensorDictSequential,
)
from torch import nn
from torchrl.envs import Compose, GymEnv, InitTracker, TransformedEnv
from torchrl.modules import (
    LSTMModule,
    OneHotCategorical,
    ProbabilisticActor,
    ValueOperator,
    set_recurrent_mode,
)
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from tests.field.case import Case, Training

__all__ = ["CASES", "collect", "make", "set_recurrent_mode", "training"]

LIBRARY = "torchrl"
STEPS = 64


class Parts(NamedTuple):
    """The parts of a loop."""

    env: TransformedEnv
    core: LSTMModule
    policy: ProbabilisticActor
    loss: ClipPPOLoss
    advantage: GAE


class Detach(nn.Module):
    """Cuts the graph."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the inputs without their graph."""
        return inputs.detach()


def make(*, inputs: int = 4, detach_logits: bool = False, detach_values: bool = False) -> Parts:
    """Make the parts, with an LSTM that the policy and the value share."""
    torch.manual_seed(0)
    core = LSTMModule(input_size=inputs, hidden_size=16, in_key="observation", out_key="embed")
    env = TransformedEnv(
        GymEnv("CartPole-v1"), Compose(InitTracker(), core.make_tensordict_primer())
    )
    cut = [Detach()] if detach_logits else []
    logits = TensorDictModule(nn.Sequential(nn.Linear(16, 2), *cut), ["embed"], ["logits"])
    policy = ProbabilisticActor(
        TensorDictSequential(core, logits),
        in_keys=["logits"],
        distribution_class=OneHotCategorical,
        return_log_prob=True,
    )
    cut = [Detach()] if detach_values else []
    value = ValueOperator(nn.Sequential(nn.Linear(16, 1), *cut), in_keys=["embed"])
    critic = TensorDictSequential(core, value)
    loss = ClipPPOLoss(policy, critic)
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic, shifted=True)
    return Parts(env, core, policy, loss, advantage)


def collect(parts: Parts) -> TensorDictBase:
    """Collect a rollout, with its values and advantages."""
    with torch.no_grad():
        data = parts.env.rollout(STEPS, parts.policy, break_when_any_done=False)
    with torch.no_grad(), set_recurrent_mode(True):
        parts.advantage(data)
    return data


def training(
    parts: Parts,
    *,
    trained: nn.Module | None = None,
) -> Training:
    """Return the loss module, and what trains it for a few updates."""
    optimizer = torch.optim.Adam((trained or parts.loss).parameters(), lr=1e-3)

    def train() -> None:
        for _ in range(2):
            data = collect(parts)
            with set_recurrent_mode(True):
                losses = parts.loss(data)
            total = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
            total.backward()
            optimizer.step()
            optimizer.zero_grad()

    return Training(parts.loss, train)


def train_the_policy_only() -> Training:
    """Give the optimizer the parameters of the policy only."""
    parts = make()
    return training(parts, trained=parts.policy)


CASES = (
    Case(LIBRARY, "correct", "as its documentation shows", lambda: training(make())),
    Case(
        LIBRARY,
        "old-log-probs",
        "logits without a graph in the loss",
        lambda: training(make(detach_logits=True)),
    ),
    Case(
        LIBRARY,
        "rollout-values",
        "values without a graph in the loss",
        lambda: training(make(detach_values=True)),
    ),
    Case(LIBRARY, "forgotten-head", "an optimizer of the policy only", train_the_policy_only),
)
