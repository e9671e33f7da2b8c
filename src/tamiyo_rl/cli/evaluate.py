"""`tamiyo-rl evaluate`: whole episodes with a trained policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from tamiyo_rl.cli.train import Train, reward_threshold
from tamiyo_rl.policy.inputs import require_positive
from tamiyo_rl.training.checkpoint import read_checkpoint
from tamiyo_rl.training.environments import make_envs
from tamiyo_rl.training.evaluation import evaluate_policy
from tamiyo_rl.training.run_files import RunFolder
from tamiyo_rl.training.saved_policy import build_policy


@dataclass
class Evaluate:
    """Play whole episodes with the most probable actions of the newest checkpoint of a run.

    Attributes:
        run: Folder of the run, finished or not.
        episodes: Episodes to play.
        seed: Of the environments.
    """

    run: tyro.conf.Positional[Path]
    episodes: int = 100
    seed: int = 1000

    def __call__(self, console: Console) -> None:
        """Print the mean return."""
        require_positive(episodes=self.episodes)
        folder = RunFolder(self.run)
        trained = Train.from_settings(folder.config, folder.read_config())
        path = folder.require_checkpoint()
        policy = build_policy(path, read_checkpoint(path)["policy"])
        envs = make_envs(trained.env, self.episodes)
        returns = evaluate_policy(policy.bundle, envs, policy.normalizer, seed=self.seed)
        console.print(
            f"mean return of {self.episodes} episodes: {returns.mean():.1f}, "
            f"lowest {returns.min():.0f}{_verdict(reward_threshold(envs), returns.mean())}",
            highlight=False,
        )


def _verdict(threshold: float | None, mean: float) -> str:
    if threshold is None:
        return ""
    return f" ({'solved' if mean >= threshold else 'not solved'}: {threshold:g})"
