"""The quality of a trained policy: `tamiyo-rl evaluate` as a function."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tamiyo_rl.checks import require_positive
from tamiyo_rl.training.checks import require_seed
from tamiyo_rl.training.envs.make import reward_threshold
from tamiyo_rl.training.rollout.evaluation import MAX_STEPS, Watcher, play_episodes
from tamiyo_rl.training.runs.task import make_task
from tamiyo_rl.training.runs.trained import load_trained


class Evaluation(NamedTuple):
    """What an evaluation gave.

    Attributes:
        policy: The file whose policy played.
        env: Gymnasium id of the environment.
        deterministic: Whether it took the most probable actions; else they were sampled.
        returns: `[episodes]`.
        lengths: `[episodes]`, in steps.
        solved_at: Return at which the task counts as solved; None if nobody has said.
    """

    policy: Path
    env: str
    deterministic: bool
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    solved_at: float | None


def evaluate_run(
    run: str | os.PathLike[str],
    *,
    env: str | None = None,
    episodes: int = 100,
    num_envs: int = 10,
    max_steps: int = MAX_STEPS,
    deterministic: bool = True,
    seed: int = 1000,
    watch: Watcher | None = None,
) -> Evaluation:
    """Play whole episodes with a trained policy, as `tamiyo-rl evaluate` does.

    Args:
        run: Folder of a run, finished or not, whose newest checkpoint plays; or a saved policy,
            such as `policy.pt`.
        env: Gymnasium id of another environment, in the wrappers of the run and without its
            keyword arguments; None for that of the run.
        episodes: How many to play.
        num_envs: Environments that are stepped together.
        max_steps: How long an episode may take.
        deterministic: Whether to take the most probable actions; False samples them, as a
            training does.
        seed: Of the environments and of sampled actions. PyTorch's own generator stays as it is.
        watch: Called after each step with the number of episodes that have ended, and of steps.

    Raises:
        ValueError: If there is no such run or policy, it does not fit the environment, or an
            episode has not ended after `max_steps`.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import FeatureNormalizer, evaluate_run, save_policy

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        save_policy("policy.pt", bundle, FeatureNormalizer(4))
        played = evaluate_run("policy.pt", env="CartPole-v1", episodes=20)
        assert (played.lengths == played.returns).all()  # CartPole gives 1 for each step
        print(played.returns.shape, "solved at", played.solved_at)
        ```

        ```text
        (20,) solved at 475.0
        ```
    """
    require_positive(episodes=episodes, num_envs=num_envs, max_steps=max_steps)
    require_seed(seed)
    with ExitStack() as opened:
        opened.enter_context(torch.random.fork_rng(devices=[]))
        trained = load_trained(run)
        task = trained.task(env)
        envs = opened.enter_context(closing(make_task(task, min(num_envs, episodes))))
        torch.manual_seed(seed)
        played = play_episodes(
            trained.policy.bundle,
            envs,
            trained.policy.normalizer,
            episodes=episodes,
            max_steps=max_steps,
            deterministic=deterministic,
            seed=seed,
            watch=watch,
        )
        solved_at = reward_threshold(envs)
    return Evaluation(trained.path, task.env, deterministic, *played, solved_at)
