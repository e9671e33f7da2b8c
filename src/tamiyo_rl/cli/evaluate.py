"""`tamiyo-rl evaluate`: whole episodes with a trained policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tamiyo_rl.cli.progress import say
from tamiyo_rl.training.rollout.evaluation import MAX_STEPS, Watcher
from tamiyo_rl.training.runs.evaluation import Evaluation, evaluate_run

ACTIONS = {
    True: "played with the most probable actions; the learning curve shows sampled ones, which "
    "--stochastic plays",
    False: "played with sampled actions, as the learning curve shows them",
}


@dataclass
class Evaluate:
    """Play whole episodes with a trained policy, and print their returns and lengths.

    Attributes:
        run: Folder of a run, finished or not, whose newest checkpoint plays; or a saved policy,
            such as policy.pt.
        env: Gymnasium id of the environment; that of the run by default.
        episodes: Episodes to play.
        num_envs: Environments that are stepped together.
        max_steps: How long an episode may take.
        stochastic: Whether to sample the actions, as a training does.
        seed: Of the environments and of sampled actions.
        json: Whether to print JSON, with the return and the length of each episode.
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
        """Print what the episodes gave."""
        with _progress(self.episodes) as watch:
            played = evaluate_run(
                self.run,
                env=self.env,
                episodes=self.episodes,
                num_envs=self.num_envs,
                max_steps=self.max_steps,
                deterministic=not self.stochastic,
                seed=self.seed,
                watch=watch,
            )
        say(console, json.dumps(self._record(played)) if self.json else _describe(played))

    def _record(self, played: Evaluation) -> dict[str, Any]:
        return {
            "policy": str(played.policy),
            "env": played.env,
            "episodes": self.episodes,
            "seed": self.seed,
            "stochastic": self.stochastic,
            "mean": played.returns.mean(),
            "standard_deviation": played.returns.std(),
            "lowest": played.returns.min(),
            "highest": played.returns.max(),
            "mean_length": played.lengths.mean(),
            "solved_at": played.solved_at,
            "returns": played.returns.tolist(),
            "lengths": played.lengths.tolist(),
        }


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


def _describe(played: Evaluation) -> str:
    returns, lengths = played.returns, played.lengths
    return (
        f"mean return of {len(returns)} episodes: {returns.mean():.1f}, standard deviation "
        f"{returns.std():.1f}, lowest {returns.min():.1f}, highest {returns.max():.1f}"
        f"{_verdict(played.solved_at, returns.mean())}\n"
        f"mean length {lengths.mean():.1f} steps, shortest {lengths.min():,}, longest "
        f"{lengths.max():,}\n"
        f"{ACTIONS[played.deterministic]}"
    )


def _verdict(threshold: float | None, mean: float) -> str:
    if threshold is None:
        return ""
    return f" ({'solved' if mean >= threshold else 'not solved'}: {threshold:g})"
