"""Processor time of a training: one collected step, the guard, and the whole of it."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console

from benchmarks.speed.bare import BareRollout, lstm_cell
from benchmarks.speed.guard import Minibatch, make_guarded_minibatch, unguarded
from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import EpisodePlan, EvalResult, LSTMPolicyBundle, guard_training_inputs
from tamiyo_rl.training import PPOConfig, RecurrentPPO, make_envs

ENVIRONMENTS = (8, 64)
HIDDEN = 64
# One LSTM and rollouts of 128 steps, as when the collection was first timed.
CONFIG = PPOConfig(
    total_steps=150_000,
    num_steps=128,
    num_minibatches=4,
    gamma=0.99,
    gae_lambda=0.95,
    max_grad_norm=5.0,
)


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time all of it, in processor time of this process."""
    return {
        "cases": [time_step(num_envs, 10 * rounds, console) for num_envs in ENVIRONMENTS],
        "guard": time_guards(100 * rounds, console),
        "training": time_training(CONFIG, min(rounds, 3), console),
    }


def make_trainer(num_envs: int, config: PPOConfig) -> RecurrentPPO:
    """Make the trainer of the default task."""
    envs = make_envs(num_envs=num_envs)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=HIDDEN
    )
    return RecurrentPPO(envs, bundle, config)


def time_step(num_envs: int, rounds: int, console: Console) -> dict[str, Any]:
    """Time one collected step of all environments, beside the calls that no policy can leave out.

    A step is a share of a whole rollout, with its last value and its advantages.
    """
    seconds = median_times(make_rollouts(num_envs), rounds=rounds, clock=time.process_time)
    steps = CONFIG.num_steps
    seconds = {name: value / steps for name, value in seconds.items()}
    show_times(console, f"a collected step of {num_envs} environments", seconds)
    ratio = seconds["tamiyo-rl"] / seconds["bare nn.LSTMCell"]
    return {"environments": num_envs, "seconds": seconds, "ratio": ratio}


def make_rollouts(num_envs: int) -> dict[str, Callable[[], object]]:
    """Return the collection of the trainer, the bare calls, and only the environment."""
    trainer = make_trainer(num_envs, CONFIG)
    trainer.collector.begin()
    core = lstm_cell(trainer.bundle.feature_dim, HIDDEN)
    envs = make_envs(num_envs=num_envs)
    envs.reset(seed=0)
    actions = envs.action_space.sample()

    def step_environments() -> None:
        for _ in range(CONFIG.num_steps):
            envs.step(actions)

    return {
        "bare nn.LSTMCell": BareRollout(
            make_envs(num_envs=num_envs), core, HIDDEN, CONFIG.num_steps
        ),
        "tamiyo-rl": trainer.collector.collect,
        "only the environment": step_environments,
    }


def time_guards(rounds: int, console: Console) -> dict[str, Any]:
    """Time the guard's own calls where they run, as a share of `evaluate_actions` with backward."""
    minibatches = {
        "a minibatch of the default training": make_default_minibatch(),
        "16 rows of 128 steps": make_guarded_minibatch(),
    }
    return {name: time_guard(batch, rounds, console) for name, batch in minibatches.items()}


def make_default_minibatch() -> Minibatch:
    """Collect a rollout, and return the first minibatch of its update."""
    trainer = make_trainer(8, CONFIG)
    trainer.collector.begin()
    trainer.collector.collect()
    batch = next(iter(trainer.buffer.minibatches(trainer.config.num_minibatches)))
    arguments = (trainer.bundle, batch.features, batch.actions, batch.masks, batch.hidden)
    return arguments, batch.plan


def time_guard(batch: Minibatch, rounds: int, console: Console) -> dict[str, float]:
    """Return the medians of the time of the guard and of the whole."""
    measure = make_guard_measure(*batch)
    guards, totals = zip(*(measure() for _ in range(rounds)), strict=True)
    guard = statistics.median(guards)
    total = statistics.median(totals)
    console.print(f"guard: {guard * 1e6:.1f} us of {total * 1e3:.3f} ms", highlight=False)
    return {"guard seconds": guard, "seconds": total, "share": guard / total}


def make_guard_measure(
    arguments: tuple[Any, ...], plan: EpisodePlan
) -> Callable[[], tuple[float, float]]:
    """Return a training call that tells the time of its guard, and its own with backward."""
    inside = 0.0

    @guard_training_inputs
    @functools.wraps(unguarded)
    def evaluate(*args: Any, **kwargs: Any) -> EvalResult:
        nonlocal inside
        begin = time.process_time()
        result = unguarded(*args, **kwargs)
        inside = time.process_time() - begin
        return result

    def measure() -> tuple[float, float]:
        begin = time.process_time()
        result = evaluate(*arguments, episode_starts=plan)
        guard = time.process_time() - begin - inside
        torch.stack([result.joint_log_prob.mean(), result.value.mean()]).sum().backward()
        return guard, time.process_time() - begin

    return measure


def time_training(config: PPOConfig, seeds: int, console: Console) -> dict[str, Any]:
    """Time whole trainings, collection and updates, with 8 environments."""
    times = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        trainer = make_trainer(8, config)
        begin = time.process_time()
        for _ in trainer.train():
            pass
        times.append(time.process_time() - begin)
    seconds = statistics.median(times)
    steps = trainer.total_steps
    console.print(f"training: {steps / seconds:,.0f} steps a processor second", highlight=False)
    return {"steps": steps, "seconds": seconds, "steps per second": steps / seconds}
