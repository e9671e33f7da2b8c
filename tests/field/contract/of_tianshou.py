"""PPO of Tianshou on the clock, with LSTMs over stacked observations."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from tianshou.utils.net.common import Recurrent

from tests.field import tianshou_cases
from tests.field.contract.clock import Clock
from tests.field.contract.seen import GAMMA, LAMBDA, Seen, outputs, reached_steps

STEPS = 8


def observe(**clock: Any) -> Seen:
    """Train for two updates that change nothing."""
    seen = Seen.nothing()
    collected: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Looking(Recurrent):
        def forward(self, obs: Any, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, Any]:
            observations = torch.as_tensor(obs).clone().requires_grad_(torch.is_grad_enabled())
            logits, state = super().forward(observations, *args, **kwargs)
            if observations.requires_grad and observations.ndim == 3:
                look_at_training(observations, logits, seen)
            elif observations.ndim == 2:  # a step of the rollout; the rest are stacks
                collected.append((observations, logits))
            return logits, state

    envs = [partial(Clock, **clock), partial(Clock, first=2, **clock)]
    algorithm, collector = tianshou_cases.make(
        Looking, envs=envs, steps=STEPS, gamma=GAMMA, gae_lambda=LAMBDA, lr=0.0
    )
    preprocess = algorithm._preprocess_batch

    def look_at_the_rollout(*args: Any) -> Any:
        steps, logits = map(torch.cat, zip(*collected, strict=True))
        seen.rollout.append(outputs(steps, logits))
        collected.clear()
        batch = preprocess(*args)
        look_at_the_buffer(batch, seen)
        return batch

    algorithm._preprocess_batch = look_at_the_rollout
    tianshou_cases.learn(algorithm, collector, 2 * STEPS, 2)
    return seen


def look_at_training(observations: torch.Tensor, logits: torch.Tensor, seen: Seen) -> None:
    """Note the logits of a minibatch."""
    steps = observations.detach()[:, -1]
    seen.training.append(outputs(steps, logits))
    results = zip(steps.int().flatten().tolist(), logits.sum(1), strict=True)
    seen.reached.extend(reached_steps(results, observations))


def look_at_the_buffer(batch: Any, seen: Seen) -> None:
    """Note the values, their targets and the observations that were stored."""
    steps = torch.as_tensor(batch.obs)[:, -1]
    seen.values.append(outputs(steps, batch.v_s))
    seen.targets.append(outputs(steps, batch.returns))
    seen.stored.extend(steps.int().flatten().tolist())


MEASURED = {"tianshou": observe}
