"""By how much training misses what the rollout stored, before the first step of an update (C7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.field import rllib_cases, rsl_rl_cases, sb3_contrib_cases, torchrl_cases

UPDATES = 4
Differences = dict[str, float]


def of_sb3_contrib() -> Differences:
    """Compare in `train()`, which the algorithm calls with a full buffer."""
    model: Any = sb3_contrib_cases.make()
    seen: list[Differences] = []
    train = model.train

    def compare() -> None:
        data = next(model.rollout_buffer.get(model.batch_size))
        mask = data.mask > 1e-8
        with torch.no_grad():
            values, log_prob, _ = model.policy.evaluate_actions(
                data.observations,
                data.actions.long().flatten(),
                data.lstm_states,
                data.episode_starts,
            )
        off = {
            "log_prob": log_prob - data.old_log_prob,
            "value": values.flatten() - data.old_values,
        }
        seen.append({name: largest(value[mask]) for name, value in off.items()})
        train()

    model.train = compare
    model.learn(UPDATES * 64)
    return worst(seen)


def of_rsl_rl() -> Differences:
    """Compare in `update()`, which the runner calls with a full storage."""
    runner = rsl_rl_cases.make()
    algorithm = runner.alg
    seen: list[Differences] = []
    update = algorithm.update

    def compare() -> Any:
        batch = next(algorithm.storage.recurrent_mini_batch_generator(1, 1))
        actor, critic = batch.hidden_states
        states: dict[str, Any] = {"masks": batch.masks}
        with torch.no_grad():
            algorithm.actor(
                batch.observations, hidden_state=actor, stochastic_output=True, **states
            )
            log_prob = algorithm.actor.get_output_log_prob(batch.actions)
            value = algorithm.critic(batch.observations, hidden_state=critic, **states)
        old = batch.old_actions_log_prob.view_as(log_prob)
        seen.append({"log_prob": largest(log_prob - old), "value": largest(value - batch.values)})
        return update()

    algorithm.update = compare
    rsl_rl_cases.learn(runner, UPDATES)
    return worst(seen)


def of_rllib() -> Differences:
    """Compare in the loss of the first minibatch; RLlib computes the old values in the learner."""
    seen: list[Differences] = []

    class Compared(rllib_cases.PPOTorchLearner):
        def compute_loss_for_module(self, *, batch: Any, fwd_out: Any, **kwargs: Any) -> Any:
            module = self.module[kwargs["module_id"]].unwrapped()
            logits = fwd_out[rllib_cases.Columns.ACTION_DIST_INPUTS]
            new = module.get_train_action_dist_cls().from_logits(logits)
            off = new.logp(batch[rllib_cases.Columns.ACTIONS])
            off = off - batch[rllib_cases.Columns.ACTION_LOGP]
            seen.append({"log_prob": largest(off[batch[rllib_cases.Columns.LOSS_MASK]])})
            return super().compute_loss_for_module(batch=batch, fwd_out=fwd_out, **kwargs)

    algorithm = rllib_cases.make(learner_class=Compared, num_epochs=1, minibatch_size=None)
    for _ in range(UPDATES):
        algorithm.train()
    algorithm.stop()
    return worst(seen)


def of_torchrl() -> Differences:
    """Compare in a loop of the user, as TorchRL has them."""
    parts = torchrl_cases.make()
    seen: list[Differences] = []
    for _ in range(UPDATES):
        training = torchrl_cases.training(parts)
        data = torchrl_cases.collect(parts)
        with torch.no_grad(), torchrl_cases.set_recurrent_mode(True):
            log_prob = parts.policy.get_dist(data.clone()).log_prob(data["action"])
            value = parts.loss.critic_network(data.clone())["state_value"]
        off = {
            "log_prob": log_prob - data["action_log_prob"],
            "value": value - data["state_value"],
        }
        seen.append({name: largest(difference) for name, difference in off.items()})
        training.learn()
    return worst(seen)


def largest(difference: torch.Tensor) -> float:
    """Return the largest distance from 0."""
    return float(difference.detach().abs().max())


def worst(seen: list[Differences]) -> Differences:
    """Return the largest difference of all updates."""
    return {name: max(one[name] for one in seen) for name in seen[0]}


MEASURES: dict[str, Callable[[], Differences]] = {
    "sb3-contrib": of_sb3_contrib,
    "torchrl": of_torchrl,
    "rsl-rl-lib": of_rsl_rl,
    "rllib": of_rllib,
}
