"""PPO with the modules of TorchRL on the clock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from tensordict import TensorDictBase  # type: ignore[import-untyped]  # it ships no types
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import Compose, EnvBase, GymWrapper, InitTracker, SerialEnv, TransformedEnv
from torchrl.modules import set_recurrent_mode
from torchrl.objectives.value import GAE

from tests.field import torchrl_cases
from tests.field.contract.clock import Clock
from tests.field.contract.seen import GAMMA, LAMBDA, Seen, outputs, reached_steps

STEPS = 8


def observe(make: Callable[..., EnvBase], advantage: dict[str, Any], **clock: Any) -> Seen:
    """Compute two losses, and change nothing."""
    parts = torchrl_cases.make(inputs=1)
    env = make(**clock)
    frames = env.batch_size.numel() * STEPS
    primed = Compose(InitTracker(), parts.core.make_tensordict_primer())
    env = TransformedEnv(env, primed)
    estimate = GAE(gamma=GAMMA, lmbda=LAMBDA, value_network=parts.loss.critic_network, **advantage)
    collector = Collector(env, parts.policy, frames_per_batch=frames, total_frames=2 * frames)
    seen = Seen.nothing()
    for data in collector:
        with torch.no_grad(), set_recurrent_mode(True):
            estimate(data)
        look_at_the_rollout(data, seen)
        look_at_training(parts, data, seen)
    collector.shutdown()
    return seen


def one(**clock: Any) -> EnvBase:
    """Wrap a clock."""
    return GymWrapper(Clock(**clock))


def side_by_side(**clock: Any) -> EnvBase:
    """Wrap two clocks, whose episodes end apart."""
    return SerialEnv(2, [partial(one, **clock), partial(one, first=2, **clock)])


def look_at_the_rollout(data: TensorDictBase, seen: Seen) -> None:
    """Note what a rollout stored, and its values."""
    steps = data["observation"].reshape(-1, 1)
    seen.rollout.append(outputs(steps, data["logits"].reshape(-1, 2)))
    seen.values.append(outputs(steps, data["state_value"]))
    seen.targets.append(outputs(steps, data["value_target"]))
    seen.stored.extend(steps.int().flatten().tolist())


def look_at_training(parts: torchrl_cases.Parts, data: TensorDictBase, seen: Seen) -> None:
    """Note the logits of a loss."""
    (head,) = (m for m in parts.policy.modules() if isinstance(m, nn.Linear))
    found: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _module, _inputs, logits: found.append(logits))
    data["observation"].requires_grad_()
    with set_recurrent_mode(True):
        parts.loss(data)
    hook.remove()
    observations, logits = data["observation"], found[0].reshape(-1, 2)
    seen.training.append(outputs(observations.detach().reshape(-1, 1), logits))
    results = zip(observations.int().flatten().tolist(), logits.sum(1), strict=True)
    seen.reached.extend(reached_steps(results, observations))


MEASURED = {
    "torchrl, SerialEnv, GAE(shifted=True)": partial(
        observe, side_by_side, {"shifted": True, "shifted_budget": STEPS}
    ),
    "torchrl, GymWrapper, GAE(shifted=False)": partial(observe, one, {"deactivate_vmap": True}),
}
