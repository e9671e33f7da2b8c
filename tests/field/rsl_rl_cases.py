"""PPO of rsl-rl with an LSTM, which collects under inference mode, and mistakes in its models."""

from __future__ import annotations

import contextlib
import io
from typing import Any, ClassVar

import torch
from rsl_rl.env import VecEnv
from rsl_rl.models import RNNModel
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from torch import nn

from tests.field.case import Case, Training

LIBRARY = "rsl-rl-lib"


class Point(VecEnv):
    """A point on a line, which an action moves towards the origin."""

    num_envs = 4
    num_actions = 1
    max_episode_length = 10
    device = "cpu"
    cfg: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.place = torch.ones(self.num_envs, 1)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)

    def get_observations(self) -> TensorDict:
        """Return the places."""
        return TensorDict({"policy": self.place.clone()}, batch_size=[self.num_envs])

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Move the points."""
        self.place = self.place + 0.1 * actions
        self.episode_length_buf = self.episode_length_buf + 1
        rewards = -self.place.square().squeeze(-1)
        dones = self.episode_length_buf >= self.max_episode_length
        self.place = torch.where(dones[:, None], 1.0, self.place)
        self.episode_length_buf = self.episode_length_buf.masked_fill(dones, 0)
        return self.get_observations(), rewards, dones.long(), {"time_outs": dones}


class Detached(RNNModel):
    """Returns what training needs without its graph."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the output."""
        return super().forward(*args, **kwargs).detach()


class DetachedLatent(RNNModel):
    """Cuts the LSTM off."""

    def get_latent(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the latent."""
        return super().get_latent(*args, **kwargs).detach()


class CachedTable(RNNModel):
    """Scales the latent by a table of the first call, which the rollout makes."""

    table: torch.Tensor | None = None

    def get_latent(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the latent."""
        latent = super().get_latent(*args, **kwargs)
        if self.table is None:
            self.table = torch.ones(1)
        return latent * self.table


def make(
    actor: type[RNNModel] = RNNModel,
    critic: type[RNNModel] = RNNModel,
    *,
    env: VecEnv | None = None,
    steps: int = 16,
    **algorithm: Any,
) -> OnPolicyRunner:
    """Make the runner."""
    torch.manual_seed(0)
    model = {"hidden_dims": [16], "rnn_hidden_dim": 16}
    gaussian = {"class_name": "rsl_rl.modules.distribution:GaussianDistribution"}
    settings = {
        "num_steps_per_env": steps,
        "save_interval": 100,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "algorithm": {
            "class_name": "rsl_rl.algorithms:PPO",
            "num_learning_epochs": 2,
            "num_mini_batches": 2,
            **algorithm,
        },
        "actor": {"class_name": actor, "distribution_cfg": gaussian, **model},
        "critic": {"class_name": critic, **model},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        return OnPolicyRunner(env or Point(), settings)


def learn(runner: OnPolicyRunner, iterations: int) -> None:
    """Train without a word."""
    with contextlib.redirect_stdout(io.StringIO()):
        runner.learn(iterations)


def training(actor: type[RNNModel] = RNNModel, critic: type[RNNModel] = RNNModel) -> Training:
    """Return the models, and what trains them for two iterations."""
    runner = make(actor, critic)
    models = nn.ModuleDict({"actor": runner.alg.actor, "critic": runner.alg.critic})
    return Training(models, lambda: learn(runner, 2))


CASES = (
    Case(LIBRARY, "correct", "as its documentation shows", training),
    Case(
        LIBRARY,
        "detached-values",
        "values without a graph in the loss",
        lambda: training(critic=Detached),
    ),
    Case(
        LIBRARY,
        "detached-latent",
        "an LSTM that is cut off from the loss",
        lambda: training(actor=DetachedLatent),
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table of the rollout, which runs under inference mode",
        lambda: training(actor=CachedTable),
    ),
)
