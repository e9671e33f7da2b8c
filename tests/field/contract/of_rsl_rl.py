"""PPO of rsl-rl on the clock."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types

from tests.field import rsl_rl_cases
from tests.field.contract.seen import GAMMA, LAMBDA, Seen, outputs, reached_steps

STEPS = 8


class Clocks(VecEnv):
    """Two clocks, as a VecEnv holds its environments: in tensors."""

    num_envs = 2
    num_actions = 1
    device = "cpu"
    cfg: ClassVar[dict[str, Any]] = {}

    def __init__(self, length: int, *, reuses_its_array: bool = False) -> None:
        self.max_episode_length = length
        self.ends_at = torch.tensor([length, 2])
        self.reuses_its_array = reuses_its_array
        self.time = torch.ones(2, 1)
        self.episode_length_buf = torch.zeros(2, dtype=torch.long)

    def get_observations(self) -> TensorDict:
        """Return the numbers of the steps."""
        time = self.time if self.reuses_its_array else self.time.clone()
        return TensorDict({"policy": time}, batch_size=[self.num_envs])

    def step(
        self, actions: torch.Tensor
    ) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Count on, whatever the actions."""
        self.episode_length_buf = self.episode_length_buf + 1
        ends = self.episode_length_buf >= self.ends_at
        self.ends_at = self.ends_at.masked_fill(ends, self.max_episode_length)
        self.episode_length_buf = self.episode_length_buf.masked_fill(ends, 0)
        self.time.copy_(self.episode_length_buf[:, None] + 1)
        return self.get_observations(), torch.ones(2), ends.long(), {"time_outs": ends}


def observe(**clock: Any) -> Seen:
    """Train for two updates that change nothing."""
    settings: dict[str, Any] = {"num_mini_batches": 1, "num_learning_epochs": 1, "gamma": GAMMA}
    settings["lam"] = LAMBDA
    settings |= {"learning_rate": 0.0, "schedule": "fixed"}
    runner = rsl_rl_cases.make(env=Clocks(**clock), steps=STEPS, **settings)
    algorithm = runner.alg
    seen = Seen.nothing()
    update = algorithm.update

    def look_at_the_rollout() -> Any:
        look(algorithm.storage, seen)
        return update()

    def track(_: Any, inputs: tuple[Any, ...], masks: Any = None, **__: Any) -> None:
        if masks is not None:
            inputs[0]["policy"].requires_grad_()

    def look_at_training(
        _: Any, inputs: tuple[Any, ...], named: dict[str, Any], values: torch.Tensor
    ) -> None:
        if "masks" in named:
            note(inputs[0]["policy"], named["masks"], values, seen)

    algorithm.critic.register_forward_pre_hook(
        lambda module, inputs, named: track(module, inputs, **named), with_kwargs=True
    )
    algorithm.critic.register_forward_hook(look_at_training, with_kwargs=True)
    algorithm.update = look_at_the_rollout
    rsl_rl_cases.learn(runner, 2)
    return seen


def look(storage: Any, seen: Seen) -> None:
    """Note what a rollout stored."""
    steps = storage.observations["policy"].reshape(-1, 1)
    seen.rollout.append(outputs(steps, storage.values))
    seen.values.append(outputs(steps, storage.values))
    seen.targets.append(outputs(steps, storage.returns))
    seen.stored.extend(steps.int().flatten().tolist())


def note(observations: torch.Tensor, masks: torch.Tensor, values: torch.Tensor, seen: Seen) -> None:
    """Note the values of training, environment by environment as the masks lead."""
    steps = observations.detach().transpose(0, 1)[masks.transpose(0, 1)]
    values = values.transpose(0, 1).flatten()
    seen.training.append(outputs(steps, values))
    results = zip(steps.int().flatten().tolist(), values, strict=True)
    seen.reached.extend(reached_steps(results, observations))


MEASURED = {"rsl-rl-lib": observe}
