"""Training on a task of POPGym, with the returns of its episodes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from popgym.wrappers import Antialias, PreviousAction  # type: ignore[import-untyped]  # it ships no types

from benchmarks.popgym.settings import CONFIG, ENVIRONMENTS, EPISODES, HIDDEN
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import RecurrentPPO, evaluate_policy, make_envs


def make_task(task: str, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Make the environments as the paper wraps them: the policy also observes its last action."""
    return make_envs(
        f"popgym:popgym-{task}-v0",
        num_envs,
        wrappers=(PreviousAction, Antialias),
        disable_env_checker=True,  # it warns about infos that POPGym returns twice
    )


def train(task: str, seed: int) -> dict[str, Any]:
    """Train on a task with a seed, evaluate, and return what goes on record."""
    torch.manual_seed(seed)
    envs = make_task(task, ENVIRONMENTS)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=HIDDEN
    )
    trainer = RecurrentPPO(envs, bundle, replace(CONFIG, seed=seed))
    began = time.process_time()
    curve = [(report.steps, report.episode_return) for report in trainer.train()]
    seconds = time.process_time() - began
    returns = evaluate_policy(bundle, make_task(task, EPISODES), trainer.normalizer, seed=1000)
    known = [value for _, value in curve if not np.isnan(value)]
    return {
        "task": task,
        "seed": seed,
        "steps": trainer.steps,
        "final": known[-1],
        "highest": max(known),
        "evaluation": float(returns.mean()),
        "cpu_seconds": round(seconds, 1),
        "curve": [(steps, round(value, 4)) for steps, value in curve[:: len(curve) // 20]],
    }
