"""RecurrentPPO of sb3-contrib, trained as its users train it, and with mistakes in its policy."""

from __future__ import annotations

from typing import Any

import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from tests.field.case import Case, Training

LIBRARY = "sb3-contrib"
STEPS = 256


def make(policy: Any = "MlpLstmPolicy", **settings: Any) -> RecurrentPPO:
    """Make the algorithm on a small task."""
    return RecurrentPPO(
        policy,
        "CartPole-v1",
        n_steps=64,
        batch_size=64,
        n_epochs=2,
        seed=0,
        device="cpu",
        **settings,
    )


def training(model: RecurrentPPO) -> Training:
    """Return the policy and what trains it."""
    return Training(model.policy, lambda: model.learn(STEPS))


class OldLogProbs(RecurrentActorCriticPolicy):
    """Puts log-probabilities without a graph into the loss."""

    def evaluate_actions(self, *args: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Evaluate actions."""
        values, log_prob, entropy = super().evaluate_actions(*args)
        return values, log_prob.detach(), entropy


class RolloutValues(RecurrentActorCriticPolicy):
    """Puts values without a graph into the loss, as those of a rollout are."""

    def evaluate_actions(self, *args: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Evaluate actions."""
        values, log_prob, entropy = super().evaluate_actions(*args)
        return values.detach(), log_prob, entropy


class CachedTable(FlattenExtractor):
    """Scales the features by a table that a rollout made and that training goes on to use."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space)
        self.table: torch.Tensor | None = None
        self.scale = nn.Parameter(torch.ones(observation_space.shape[0]))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Scale the observations."""
        if self.table is None:
            with torch.inference_mode():
                self.table = torch.linspace(0.5, 1.5, observations.shape[-1])
        return super().forward(observations) * self.scale * self.table


def replace_a_head(model: RecurrentPPO) -> RecurrentPPO:
    """Replace a layer once the optimizer is made."""
    model.policy.value_net = nn.Linear(model.policy.mlp_extractor.latent_dim_vf, 1)
    return model


CASES = (
    Case(LIBRARY, "correct", "as its documentation shows", lambda: training(make())),
    Case(
        LIBRARY,
        "old-log-probs",
        "log-probabilities without a graph in the loss",
        lambda: training(make(OldLogProbs)),
    ),
    Case(
        LIBRARY,
        "rollout-values",
        "values without a graph in the loss",
        lambda: training(make(RolloutValues)),
    ),
    Case(
        LIBRARY,
        "forgotten-head",
        "a layer replaced once the optimizer was made",
        lambda: training(replace_a_head(make())),
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table cached by the rollout under inference mode",
        lambda: training(make(policy_kwargs={"features_extractor_class": CachedTable})),
    ),
)
