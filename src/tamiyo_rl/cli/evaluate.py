"""`tamiyo-rl evaluate`: whole episodes with a trained policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tamiyo_rl.checks import require_positive
from tamiyo_rl.cli.progress import say
from tamiyo_rl.training.envs.make import make_envs, reward_threshold
from tamiyo_rl.training.rollout.evaluation import MAX_STEPS, Watcher, evaluate_policy
from tamiyo_rl.training.runs.checkpoint import load_checkpoint_policy
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.policy import SavedPolicy, load_policy
from tamiyo_rl.training.runs.settings import RunSettings

CURVE = {
    True: "played with sampled actions, as the learning curve shows them",
    False: "played with the most probable actions; the learning curve shows sampled ones, which "
    "--stochastic plays",
}


@dataclass
class Evaluate:
    """Play whole episodes with a trained policy, and print their mean return.

    Attributes:
        run: Folder of a run, finished or not, whose newest checkpoint plays; or a saved policy,
            such as policy.pt.
        env: Gymnasium id of the environment; that of the run by default.
        episodes: Episodes to play.
        num_envs: Environments that are stepped together.
        max_steps: How long an episode may take.
        stochastic: Whether to sample the actions, as a training does.
        seed: Of the environments and of sampled actions.
        json: Whether to print JSON, with the return of each episode.
    """

    run: tyro.conf.Positional[Path]
    env: Annotated[str | None, tyro.conf.arg(metavar="STR")] = None
    episodes: int = 100
    num_envs: int = 10
    max_steps: int = MAX_STEPS
    stochastic: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    seed: int = 1000
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    def __call__(self, console: Console) -> None:
        """Print the mean return."""
        counts = ("episodes", "num_envs", "max_steps")
        require_positive(**{name: getattr(self, name) for name in counts})
        played = self._load()
        torch.manual_seed(self.seed)
        with closing(make_envs(played.env, min(self.num_envs, self.episodes))) as envs:
            returns = self._play(played.policy, envs)
            threshold = reward_threshold(envs)
        if self.json:
            say(console, json.dumps(self._record(played, returns, threshold)))
            return
        say(
            console,
            f"mean return of {self.episodes} episodes: {returns.mean():.1f}, standard deviation "
            f"{returns.std():.1f}, lowest {returns.min():.0f}{_verdict(threshold, returns.mean())}",
        )
        say(console, CURVE[self.stochastic])

    def _load(self) -> _Played:
        """Load the policy, and find out what it plays."""
        if self.run.is_file():
            return _Played(self.run, load_policy(self.run), self.env or self._env_beside())
        folder = RunFolder(self.run)
        trained = RunSettings.read(folder.config)
        path = folder.require_checkpoint()
        return _Played(path, load_checkpoint_policy(path), self.env or trained.env)

    def _env_beside(self) -> str:
        """Return the environment of the run in whose folder the policy lies."""
        folder = RunFolder(self.run.parent)
        if not folder.config.exists():
            raise ValueError(
                f"env: expected the environment that {self.run} plays, got none, and no run beside "
                "the file. Pass --env."
            )
        return RunSettings.read(folder.config).env

    def _play(self, policy: SavedPolicy, envs: Any) -> NDArray[np.float64]:
        with _progress(self.episodes) as watch:
            return evaluate_policy(
                policy.bundle,
                envs,
                policy.normalizer,
                episodes=self.episodes,
                max_steps=self.max_steps,
                deterministic=not self.stochastic,
                seed=self.seed,
                watch=watch,
            )

    def _record(
        self, played: _Played, returns: NDArray[np.float64], threshold: float | None
    ) -> dict[str, Any]:
        return {
            "policy": str(played.path),
            "env": played.env,
            "episodes": self.episodes,
            "seed": self.seed,
            "stochastic": self.stochastic,
            "mean": returns.mean(),
            "standard_deviation": returns.std(),
            "lowest": returns.min(),
            "highest": returns.max(),
            "solved_at": threshold,
            "returns": returns.tolist(),
        }


class _Played(NamedTuple):
    path: Path
    policy: SavedPolicy
    env: str


@contextmanager
def _progress(episodes: int) -> Iterator[Watcher]:
    """Draw a bar on a terminal; elsewhere say nothing."""
    columns = (
        BarColumn(),
        TextColumn(
            "{task.completed:,.0f}/{task.total:,.0f} episodes, {task.fields[steps]:,} steps"
        ),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("evaluate", total=episodes, steps=0)
        yield lambda ended, steps: bar.update(task, completed=ended, steps=steps)


def _verdict(threshold: float | None, mean: float) -> str:
    if threshold is None:
        return ""
    return f" ({'solved' if mean >= threshold else 'not solved'}: {threshold:g})"
