"""The update of TorchRL: `LSTMModule` in recurrent mode under `ClipPPOLoss`."""

from __future__ import annotations

from typing import Final, Literal

import torch

# TorchRL and tensordict are not typed (no py.typed); the classes used are thus of type Any.
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from tensordict.nn import TensorDictModule  # type: ignore[import-untyped]  # it ships no types
from torch import nn
from torchrl.modules import (  # type: ignore[import-untyped]  # it ships no types
    ActorValueOperator,
    LSTMModule,
    ProbabilisticActor,
    ValueOperator,
    set_recurrent_mode,
)
from torchrl.objectives import ClipPPOLoss  # type: ignore[import-untyped]  # it ships no types

from benchmarks.speed import workload as w

Backend = Literal["pad", "scan"]
# "auto" is "pad" unless compiled, and "triton" needs CUDA.
BACKENDS: Final[tuple[Backend, ...]] = ("pad", "scan")


def actor_critic(
    backend: Backend = "pad", kind: type[LSTMModule] = LSTMModule
) -> ActorValueOperator:
    """Build an LSTM that a policy head and a value head share."""
    lstm = kind(
        w.FEATURES, w.HIDDEN, in_key="observation", out_key="hidden", recurrent_backend=backend
    )
    return ActorValueOperator(
        lstm, policy_head(), ValueOperator(nn.Linear(w.HIDDEN, 1), ["hidden"])
    )


def policy_head() -> ProbabilisticActor:
    """Build the head that samples actions."""
    return ProbabilisticActor(
        TensorDictModule(nn.Linear(w.HIDDEN, w.ACTIONS), ["hidden"], ["logits"]),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
        log_prob_key="action_log_prob",
        default_interaction_type="random",
    )


def clip_loss(model: ActorValueOperator) -> ClipPPOLoss:
    """Build the loss so that it runs the shared LSTM once: it gets only the value head."""
    return ClipPPOLoss(
        model.get_policy_operator(),
        model.get_value_head(),
        clip_epsilon=w.CLIP_RANGE,
        entropy_coeff=w.ENTROPY_COEF,
        critic_coeff=w.VALUE_COEF,
        loss_critic_type="l2",
        normalize_advantage=True,
        functional=False,
        log_explained_variance=False,
    )


def as_tensordict(workload: w.Workload) -> TensorDict:
    """Store the rollout; without recurrent states, `LSTMModule` starts each row at zeros."""
    data = {
        "observation": workload.features,
        "action": workload.actions,
        "action_log_prob": workload.log_prob,
        "advantage": workload.advantages[..., None],
        "value_target": workload.returns[..., None],
        "is_init": workload.starts[..., None],
    }
    return TensorDict(data, batch_size=workload.starts.shape)


class TorchRL:
    """The update of TorchRL.

    Args:
        workload: The experience to update on.
        backend: The way in which `LSTMModule` resets its state in a row, one of `BACKENDS`.
        kind: The class of the LSTM: TorchRL's or ours.
    """

    def __init__(
        self,
        workload: w.Workload,
        backend: Backend = "pad",
        kind: type[LSTMModule] = LSTMModule,
    ) -> None:
        self.workload = workload
        self.data = as_tensordict(workload)
        self.model = actor_critic(backend, kind)
        self.loss = clip_loss(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=w.LEARNING_RATE)

    def __call__(self) -> None:
        """Make one update."""
        with set_recurrent_mode(mode=True):
            for _ in range(w.EPOCHS):
                for rows in self.workload.minibatches():
                    self.minibatch(rows)

    def minibatch(self, rows: torch.Tensor) -> None:
        """Train on some rows."""
        losses = self.loss(self.data[rows])
        total = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
        w.descend(self.optimizer, total)
