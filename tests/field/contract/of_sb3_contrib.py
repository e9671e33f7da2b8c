"""RecurrentPPO of sb3-contrib on the clock."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv

from tests.field.contract.clock import Clock
from tests.field.contract.seen import GAMMA, LAMBDA, Seen, outputs, reached_steps

STEPS = 8


def observe(policy: Any = "MlpLstmPolicy", **clock: Any) -> Seen:
    """Train for two updates that change nothing."""
    envs = DummyVecEnv([partial(Clock, **clock), partial(Clock, first=2, **clock)])
    settings: dict[str, Any] = {
        "n_steps": STEPS,
        "batch_size": 2 * STEPS,
        "n_epochs": 1,
        "gamma": GAMMA,
    }
    settings["gae_lambda"] = LAMBDA
    model: Any = RecurrentPPO(policy, envs, learning_rate=0.0, seed=0, device="cpu", **settings)
    seen = Seen.nothing()
    train, evaluate = model.train, model.policy.evaluate_actions

    def look_at_the_rollout() -> None:
        look(model.rollout_buffer, seen)
        train()

    def look_at_training(observations: torch.Tensor, actions: torch.Tensor, *states: Any) -> Any:
        observations.requires_grad_()
        values, log_prob, entropy = evaluate(observations, actions, *states)
        keys = torch.cat([observations, actions[:, None]], 1)
        real = observations.flatten() > 0  # the rest is padding
        seen.training.append(
            outputs(keys[real], torch.stack([values.flatten(), log_prob], 1)[real])
        )
        results = zip(observations[real].int().flatten().tolist(), values[real], strict=True)
        seen.reached.extend(reached_steps(results, observations))
        return values, log_prob, entropy

    model.train, model.policy.evaluate_actions = look_at_the_rollout, look_at_training
    model.learn(2 * 2 * STEPS)
    return seen


def look(buffer: Any, seen: Seen) -> None:
    """Note what a rollout stored."""
    rows = {
        name: torch.as_tensor(getattr(buffer, name)).reshape(2 * STEPS, 1)
        for name in ("observations", "actions", "values", "log_probs", "returns")
    }
    keys = torch.cat([rows["observations"], rows["actions"]], 1)
    seen.rollout.append(outputs(keys, torch.cat([rows["values"], rows["log_probs"]], 1)))
    seen.values.append(outputs(rows["observations"], rows["values"]))
    seen.targets.append(outputs(rows["observations"], rows["returns"]))
    seen.stored.extend(rows["observations"].int().flatten().tolist())


MEASURED = {"sb3-contrib": observe}
