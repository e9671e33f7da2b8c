"""PPO of Tianshou with LSTMs over stacked observations, and mistakes in its networks."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import PPO
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OnPolicyTrainerParams
from tianshou.utils.net.common import Recurrent
from tianshou.utils.net.continuous import RecurrentCritic

from tests.field.case import Case, Training

LIBRARY = "tianshou"
STACKED = 4
HIDDEN = 16
logging.getLogger("tianshou").setLevel(logging.ERROR)


class Detached(RecurrentCritic):
    """Cuts the values off."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return values without a graph."""
        return super().forward(*args, **kwargs).detach()


class DetachedLogits(Recurrent):
    """Cuts the logits off."""

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, Any]:
        """Return logits without a graph."""
        logits, state = super().forward(*args, **kwargs)
        return logits.detach(), state


class CachedTable(RecurrentCritic):
    """Scales the values by a table that was made under inference mode."""

    table: torch.Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return scaled values."""
        if self.table is None:
            with torch.inference_mode():
                self.table = torch.ones(1)
        return super().forward(*args, **kwargs) * self.table


def make(
    actor: type[Recurrent] = Recurrent,
    critic: type[RecurrentCritic] = RecurrentCritic,
    *,
    envs: Sequence[Callable[[], Any]] | None = None,
    steps: int = 64,
    **settings: Any,
) -> tuple[PPO, Collector[Any]]:
    """Make the algorithm and what collects for it."""
    torch.manual_seed(0)
    made = DummyVectorEnv(envs or [lambda: gymnasium.make("CartPole-v1")])
    observations, actions = made.observation_space[0], made.action_space[0]
    shape = observations.shape
    sizes = {"layer_num": 1, "state_shape": shape, "hidden_layer_size": HIDDEN}
    policy = DiscreteActorPolicy(
        actor=actor(action_shape=actions.n, **sizes),
        action_space=actions,
        observation_space=observations,
    )
    optimizer = AdamOptimizerFactory(lr=settings.pop("lr", 1e-3))
    algorithm = PPO(policy=policy, critic=critic(**sizes), optim=optimizer, **settings)
    buffer = VectorReplayBuffer(steps * len(made), len(made), stack_num=STACKED)
    return algorithm, Collector(algorithm, made, buffer)


def learn(algorithm: PPO, collector: Collector[Any], steps: int, updates: int) -> None:
    """Train without a word."""
    params = OnPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=steps * updates,
        collection_step_num_env_steps=steps,
        update_step_num_repetitions=1,
        batch_size=None,
        verbose=False,
        show_progress=False,
    )
    with contextlib.redirect_stderr(io.StringIO()):
        algorithm.run_training(params)


def training(
    actor: type[Recurrent] = Recurrent, critic: type[RecurrentCritic] = RecurrentCritic
) -> Training:
    """Return the algorithm, a module, and what trains it for two updates."""
    np.random.seed(0)  # noqa: NPY002 - Tianshou draws from it
    algorithm, collector = make(actor, critic)
    return Training(algorithm, lambda: learn(algorithm, collector, 64, 2))


CASES = (
    Case(LIBRARY, "correct", "with LSTMs over stacked observations", training),
    Case(
        LIBRARY,
        "detached-values",
        "values without a graph in the loss",
        lambda: training(critic=Detached),
    ),
    Case(
        LIBRARY,
        "detached-logits",
        "logits without a graph in the loss",
        lambda: training(actor=DetachedLogits),
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table made under inference mode",
        lambda: training(critic=CachedTable),
    ),
)
