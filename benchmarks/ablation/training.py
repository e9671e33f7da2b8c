"""One training of a task by a variant or by the peer, until it is solved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from benchmarks.ablation.changes import Network
from benchmarks.ablation.labels import PEER
from benchmarks.ablation.peer import train_peer
from benchmarks.ablation.tasks import NUM_ENVS, TASKS, WINDOW, Task
from benchmarks.ablation.variants import CONFIG, POLICY, VARIANTS, Variant
from tamiyo_rl.training import PPOConfig, RecurrentPPO

Point = tuple[int, float]


def train(task: str, variant: str, seed: int) -> dict[str, Any]:
    """Train until the task is solved or its limit is reached, and return what goes on record."""
    torch.set_num_threads(1)
    began = time.process_time()
    curve = list(until_solved(TASKS[task], variant, seed))
    steps, mean = curve[-1]
    return {
        "task": task,
        "variant": variant,
        "seed": seed,
        "solved": mean >= TASKS[task].solved_at,
        "steps": steps,
        "cpu_seconds": round(time.process_time() - began, 1),
        "best": round(max(value for _, value in curve), 3),
    }


def until_solved(task: Task, variant: str, seed: int) -> Iterator[Point]:
    """Yield the steps and the mean return of the last episodes, up to where the task is solved."""
    yield 0, -np.inf
    points = (
        train_peer(task, seed) if variant == PEER else train_ours(task, VARIANTS[variant], seed)
    )
    for point in points:
        yield point
        if point[1] >= task.solved_at:
            return


def train_ours(task: Task, variant: Variant, seed: int) -> Iterator[Point]:
    """Train by the trainer of the package."""
    torch.manual_seed(seed)
    envs = RecordEpisodeStatistics(task.make_vector(NUM_ENVS), buffer_length=WINDOW)
    bundle = variant.bundle.from_spaces(
        envs.single_observation_space,
        envs.single_action_space,
        **{**POLICY, **variant.policy},
    )
    variant.change_network(cast("Network", bundle.network))
    settings = {**CONFIG, **variant.config}
    trainer = RecurrentPPO(envs, bundle, PPOConfig(seed=seed, total_steps=task.limit, **settings))
    variant.change_trainer(trainer)
    before = trainer.config.normalization_steps * NUM_ENVS  # on top of those of the report
    for report in trainer.train():
        full = len(envs.return_queue) == WINDOW
        yield before + report.steps, float(np.mean(envs.return_queue)) if full else -np.inf
