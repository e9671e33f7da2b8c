"""PPO of Ray RLlib on the clock."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.tune.registry import register_env

from tests.field import rllib_cases
from tests.field.contract.clock import Clock
from tests.field.contract.seen import GAMMA, LAMBDA, Seen, outputs, reached_steps

STEPS = 8


class Tracked(DefaultPPOTorchRLModule):
    """Asks for the gradient into the observations of training."""

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        batch[Columns.OBS].requires_grad_()
        return super()._forward_train(batch, **kwargs)


def observe(*, shares_encoder: bool = False, **clock: Any) -> Seen:
    """Train for two updates that change nothing."""
    seen = Seen.nothing()

    class Looking(rllib_cases.PPOTorchLearner):
        def compute_loss_for_module(self, *, batch: Any, fwd_out: Any, **kwargs: Any) -> Any:
            look(self.module[kwargs["module_id"]].unwrapped(), batch, fwd_out, seen)
            return super().compute_loss_for_module(batch=batch, fwd_out=fwd_out, **kwargs)

    settings: dict[str, Any] = {"train_batch_size_per_learner": 2 * STEPS, "minibatch_size": None}
    settings |= {"num_epochs": 1, "gamma": GAMMA, "lr": 0.0, "lambda_": LAMBDA}
    settings["model"] = {"vf_share_layers": shares_encoder}
    firsts = itertools.cycle([2, clock["length"]])
    register_env("clock", lambda _: Clock(first=next(firsts), **clock))
    torch.manual_seed(0)
    algorithm = rllib_cases.make(Tracked, env="clock", learner_class=Looking, **settings)
    for _ in range(2):
        algorithm.train()
    algorithm.stop()
    return seen


def look(module: Any, batch: Any, fwd_out: Any, seen: Seen) -> None:
    """Note what the rollout stored and what training computes of it."""
    observations, real = batch[Columns.OBS], batch[Columns.LOSS_MASK]
    steps = observations.detach()[real]
    seen.rollout.append(outputs(steps, batch[Columns.ACTION_DIST_INPUTS][real]))
    logits = fwd_out[Columns.ACTION_DIST_INPUTS][real]
    seen.training.append(outputs(steps, logits))
    with torch.no_grad():
        seen.values.append(outputs(steps, module.compute_values(batch)[real]))
    seen.targets.append(outputs(steps, batch[Postprocessing.VALUE_TARGETS][real]))
    results = zip(steps.int().flatten().tolist(), logits.sum(1), strict=True)
    seen.reached.extend(reached_steps(results, observations))
    seen.stored.extend(steps.int().flatten().tolist())


MEASURED = {
    "rllib": observe,
    "rllib, vf_share_layers=True": partial(observe, shares_encoder=True),
}
