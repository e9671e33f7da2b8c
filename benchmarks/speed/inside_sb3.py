"""`train()` of sb3-contrib's `RecurrentPPO` and of ours, on the same rollouts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from sb3_contrib import RecurrentPPO as TheirRecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from torch import nn

from benchmarks.ablation.tasks import CARTPOLE
from benchmarks.speed.timing import show_times
from tamiyo_rl.integrations.sb3_contrib import RecurrentPPO

UPDATES = 8
METHODS = {"RecurrentPPO of tamiyo-rl": RecurrentPPO, "of sb3-contrib": TheirRecurrentPPO}
# Those of `CartPoleNoVel-v1` in RL Baselines3 Zoo, `hyperparams/ppo_lstm.yml`.
TUNED: Mapping[str, Any] = {
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 20,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "learning_rate": 1e-3,
    "policy_kwargs": {
        "ortho_init": False,
        "activation_fn": nn.ReLU,
        "lstm_hidden_size": 64,
        "enable_critic_lstm": True,
        "net_arch": {"pi": [64], "vf": [64]},
    },
}
SETTINGS: Mapping[str, tuple[int, Mapping[str, Any]]] = {"default": (8, {}), "tuned": (8, TUNED)}


class KeepRollout(BaseCallback):
    """Lets a rollout be collected to its end."""

    def _on_step(self) -> bool:
        return True


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time the first updates of a training with each settings."""
    cases = []
    for name, (num_envs, settings) in SETTINGS.items():
        times: dict[str, list[float]] = {method: [] for method in METHODS}
        rates = []
        for seed in range(rounds):
            for method, kind in METHODS.items():
                env = make_vec_env(CARTPOLE, num_envs, seed=seed)
                model = kind("MlpLstmPolicy", env, seed=seed, device="cpu", **settings)
                seconds, rate = time_updates(model)
                times[method].append(seconds)
                rates.append(rate)
        median = {method: statistics.median(values) for method, values in times.items()}
        cases.append({"settings": name, "reset rate": statistics.mean(rates), "seconds": median})
        show_times(console, f"{name} settings, {cases[-1]['reset rate']:.1%} resets", median)
    return {"cases": cases}


def time_updates(model: Any) -> tuple[float, float]:
    """Return the seconds of `train()` in the first updates, and the share of episode starts."""
    model._setup_learn(UPDATES * model.n_steps * model.n_envs)
    callback = KeepRollout()
    callback.init_callback(model)
    seconds = 0.0
    rates = []
    for _ in range(UPDATES):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        rates.append(float(np.mean(model.rollout_buffer.episode_starts)))
        begin = time.perf_counter()
        model.train()
        seconds += time.perf_counter() - begin
    return seconds, statistics.mean(rates)
