"""Training by sb3-contrib, as its users run it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import gymnasium
import numpy as np
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from benchmarks.ablation.tasks import NUM_ENVS, WINDOW
from benchmarks.ablation.variants import CONFIG


class SingleTask(Protocol):
    """What the peer needs of a task."""

    @property
    def solved_at(self) -> float:
        """The mean return of the last twenty episodes at which it is solved."""

    @property
    def limit(self) -> int:
        """Steps after which training gives up."""

    @property
    def make_single(self) -> Callable[[], gymnasium.Env[Any, Any]]:
        """Makes one environment."""


class History(BaseCallback):
    """Keeps steps and mean return after each rollout, and stops where the task is solved."""

    def __init__(self, solved_at: float) -> None:
        super().__init__()
        self.solved_at = solved_at
        self.reached: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        return not self.reached or self.reached[-1][1] < self.solved_at

    def _on_rollout_end(self) -> None:
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        mean = float(np.mean(returns)) if len(returns) == WINDOW else -np.inf
        self.reached.append((self.num_timesteps, mean))


def train_peer(task: SingleTask, seed: int) -> Iterator[tuple[int, float]]:
    """Train with the settings that its authors tuned for CartPole without velocities.

    They are those of `CartPoleNoVel-v1` in RL Baselines3 Zoo, `hyperparams/ppo_lstm.yml`.
    """
    gamma = CONFIG["gamma"]
    envs = VecNormalize(make_vec_env(task.make_single, NUM_ENVS, seed=seed), gamma=gamma)
    policy = {
        "ortho_init": False,
        "activation_fn": nn.ReLU,
        "lstm_hidden_size": 64,
        "enable_critic_lstm": True,
        "net_arch": {"pi": [64], "vf": [64]},
    }
    algorithm = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=CONFIG["num_steps"],
        batch_size=NUM_ENVS * CONFIG["num_steps"],
        gae_lambda=CONFIG["gae_lambda"],
        gamma=gamma,
        n_epochs=CONFIG["epochs"],
        learning_rate=LinearSchedule(CONFIG["learning_rate"], 0.0, 1.0),
        clip_range=LinearSchedule(0.2, 0.0, 1.0),
        max_grad_norm=CONFIG["max_grad_norm"],
        policy_kwargs=policy,
        stats_window_size=WINDOW,
        seed=seed,
        device="cpu",
    )
    history = History(task.solved_at)
    algorithm.learn(task.limit, callback=history)
    yield from history.reached
