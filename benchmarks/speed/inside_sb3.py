"""`train()` and `learn()` of sb3-contrib's `RecurrentPPO` and of ours."""

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
METHODS = {"tamiyo-rl": RecurrentPPO, "sb3-contrib": TheirRecurrentPPO}
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
SETTINGS: Mapping[str, Mapping[str, Any]] = {"default": {}, "tuned": TUNED}
NUM_ENVS = 8


class TimedTraining(BaseCallback):
    """Adds up the time from the end of each rollout to the beginning of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.rates: list[float] = []
        self._ended: float | None = None

    def _on_rollout_start(self) -> None:
        self._stop()

    def _on_training_end(self) -> None:
        self._stop()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.rates.append(float(np.mean(self.model.rollout_buffer.episode_starts)))  # type: ignore[attr-defined]  # it has one
        self._ended = time.perf_counter()

    def _stop(self) -> None:
        if self._ended is not None:
            self.seconds += time.perf_counter() - self._ended


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time the first updates of a training with each settings."""
    cases = []
    for name, settings in SETTINGS.items():
        times: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
        rates = []
        for seed in range(rounds):
            for method, kind in METHODS.items():
                env = make_vec_env(CARTPOLE, NUM_ENVS, seed=seed)
                model = kind("MlpLstmPolicy", env, seed=seed, device="cpu", **settings)
                train, learn, rate = time_updates(model)
                times[method].append((train, learn))
                rates.append(rate)
        for part, label in enumerate(("train()", "learn()")):
            seconds = {m: statistics.median(t[part] for t in times[m]) for m in METHODS}
            title = f"{name}, {label}"
            cases.append(
                {"settings": title, "reset rate": statistics.mean(rates), "seconds": seconds}
            )
            show_times(console, f"{title}, {statistics.mean(rates):.1%} resets", seconds)
    return {"cases": cases}


def time_updates(model: Any) -> tuple[float, float, float]:
    """Return the seconds of `train()` and of all of `learn()`, and the share of episode starts."""
    timed = TimedTraining()
    begin = time.perf_counter()
    model.learn(UPDATES * model.n_steps * model.n_envs, callback=timed)
    return timed.seconds, time.perf_counter() - begin, statistics.mean(timed.rates)
