"""PPO of Ray RLlib with an LSTM, and mistakes in the module of its user."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from tests.field.case import Case, Training

__all__ = ["CASES", "Columns", "PPOTorchLearner", "make"]

LIBRARY = "rllib"
MODEL = {"use_lstm": True, "lstm_cell_size": 16, "fcnet_hiddens": [16], "max_seq_len": 8}
SETTINGS = {"train_batch_size_per_learner": 128, "minibatch_size": 64, "num_epochs": 2}


class OldLogProbs(DefaultPPOTorchRLModule):
    """Gives the loss logits without a graph."""

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        outputs = super()._forward_train(batch, **kwargs)
        outputs[Columns.ACTION_DIST_INPUTS] = outputs[Columns.ACTION_DIST_INPUTS].detach()
        return outputs


class RolloutValues(DefaultPPOTorchRLModule):
    """Gives the loss values without a graph."""

    def compute_values(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the values."""
        return super().compute_values(*args, **kwargs).detach()


class CachedTable(DefaultPPOTorchRLModule):
    """Scales the values by a table that was made under inference mode."""

    table: torch.Tensor | None = None

    def compute_values(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the values."""
        if self.table is None:
            with torch.inference_mode():
                self.table = torch.ones(1)
        return super().compute_values(*args, **kwargs) * self.table


def make(
    module_class: type[DefaultPPOTorchRLModule] = DefaultPPOTorchRLModule,
    *,
    env: Any = "CartPole-v1",
    model: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Any:
    """Make the algorithm."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    settled = {**MODEL, **model}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address="local",  # another program's Ray may be running
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            ignore_reinit_error=True,
        )
        config = (
            PPOConfig()
            .environment(env)
            .env_runners(num_env_runners=0, num_envs_per_env_runner=2)
            .learners(num_learners=0)
            .training(**{**SETTINGS, **settings})
            .rl_module(rl_module_spec=RLModuleSpec(module_class=module_class, model_config=settled))
        )
        return config.build_algo()


def training(module_class: type[DefaultPPOTorchRLModule] = DefaultPPOTorchRLModule) -> Training:
    """Return the module of the learner, and what trains it for an iteration."""
    algorithm = make(module_class)
    learner = algorithm.learner_group._learner

    def train() -> None:
        try:
            algorithm.train()
        finally:
            algorithm.stop()

    return Training(learner.module["default_policy"], train)


CASES = (
    Case(LIBRARY, "correct", "as its documentation shows", training),
    Case(
        LIBRARY,
        "old-log-probs",
        "log-probabilities without a graph in the loss",
        lambda: training(OldLogProbs),
    ),
    Case(
        LIBRARY,
        "rollout-values",
        "values without a graph in the loss",
        lambda: training(RolloutValues),
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table made under inference mode",
        lambda: training(CachedTable),
    ),
)
