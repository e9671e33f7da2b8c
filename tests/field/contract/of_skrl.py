"""PPO_RNN of skrl on the clock, with models that reset where it says that an episode ended."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.field import skrl_cases
from tests.field.contract.clock import Clock
from tests.field.contract.seen import GAMMA, LAMBDA, Seen, outputs, reached_steps

STEPS = skrl_cases.SEQUENCE


def observe(*, time_limit_bootstrap: bool = False, **clock: Any) -> Seen:
    """Train for two updates that change nothing."""
    seen = Seen.nothing()
    collected: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Looking(skrl_cases.Policy):
        def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
            observations = inputs["observations"].requires_grad_(self.training)
            logits, state = super().compute(inputs, role)
            if self.training:
                look_at_training(observations, logits, seen)
            else:
                collected.append((observations, logits))
            return logits, state

    settings: dict[str, Any] = {"learning_epochs": 1, "mini_batches": 1, "learning_rate": 0.0}
    settings |= {"discount_factor": GAMMA, "gae_lambda": LAMBDA}
    agent, env = skrl_cases.make(
        Looking,
        env=Clock(**clock),
        steps=STEPS,
        time_limit_bootstrap=time_limit_bootstrap,
        **settings,
    )
    update = agent.update

    def look_at_the_rollout(**timing: int) -> None:
        steps, logits = map(torch.cat, zip(*collected, strict=True))
        seen.rollout.append(outputs(steps, logits))
        collected.clear()
        update(**timing)
        look_at_the_memory(agent.memory, seen)

    agent.update = look_at_the_rollout
    skrl_cases.learn(agent, env, 2 * STEPS)
    return seen


def look_at_training(observations: torch.Tensor, logits: torch.Tensor, seen: Seen) -> None:
    """Note the logits of a minibatch."""
    steps = observations.detach()
    seen.training.append(outputs(steps, logits))
    results = zip(steps.int().flatten().tolist(), logits.sum(1), strict=True)
    seen.reached.extend(reached_steps(results, observations))


def look_at_the_memory(memory: Any, seen: Seen) -> None:
    """Note the values, their targets and the observations that were stored."""
    steps = memory.get_tensor_by_name("observations").reshape(-1, 1)
    seen.values.append(outputs(steps, memory.get_tensor_by_name("values")))
    seen.targets.append(outputs(steps, memory.get_tensor_by_name("returns")))
    seen.stored.extend(steps.int().flatten().tolist())


MEASURED = {
    "skrl": observe,
    "skrl, time_limit_bootstrap=True": partial(observe, time_limit_bootstrap=True),
}
