"""The command `tamiyo-rl`: train, evaluate, verify, tour."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tamiyo_rl.crossings.report import print_results, with_progress
from tamiyo_rl.crossings.verify import record, require_writable, verify, write_record
from tamiyo_rl.policy.inputs import require_positive
from tamiyo_rl.policy.lstm_bundle import LSTMPolicyBundle
from tamiyo_rl.tour import show_contract
from tamiyo_rl.training.checkpoint import SavedPolicy, load_policy, save_policy
from tamiyo_rl.training.diagnostics import UpdateReport
from tamiyo_rl.training.environments import make_cartpole_without_velocities
from tamiyo_rl.training.evaluation import evaluate_policy
from tamiyo_rl.training.ppo_config import PPOConfig
from tamiyo_rl.training.recurrent_ppo import RecurrentPPO
from tamiyo_rl.training.run_files import CURVE, LOG, POLICY, TrainingLog, draw_learning_curve

SOLVED_AT = 475.0


@dataclass
class Train:
    """Train a recurrent policy on CartPole-v1 without velocities.

    Attributes:
        run: Folder for the policy, the log and the learning curve.
        num_envs: Environments that are stepped together.
        hidden_dim: Width of the LSTM.
        threads: Threads of PyTorch; more than one pays for larger networks only.
        ppo: Settings of PPO.
    """

    run: tyro.conf.Positional[Path] = Path("runs/cartpole")
    num_envs: int = 8
    hidden_dim: int = 64
    threads: int = 1
    ppo: Annotated[PPOConfig, tyro.conf.arg(name="")] = field(default_factory=PPOConfig)

    def __call__(self, console: Console) -> None:
        """Train, and leave the policy, the log and the learning curve in the run folder."""
        require_positive(num_envs=self.num_envs, threads=self.threads)
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.ppo.seed)
        envs = make_cartpole_without_velocities(self.num_envs)
        bundle = LSTMPolicyBundle.from_spaces(
            envs.single_observation_space, envs.single_action_space, hidden_dim=self.hidden_dim
        )
        trainer = RecurrentPPO(envs, bundle, self.ppo)
        with TrainingLog(self.run / LOG) as log:
            reports = train_with_progress(trainer, log, console)
        save_policy(self.run / POLICY, SavedPolicy(bundle, trainer.normalizer))
        draw_learning_curve(reports, self.run / CURVE, solved_at=SOLVED_AT)
        for name in (POLICY, LOG, CURVE):
            console.print(f"wrote {self.run / name}", highlight=False)


@dataclass
class Evaluate:
    """Play whole episodes with the most probable actions of a trained policy.

    Attributes:
        run: Folder of the training run.
        episodes: Episodes to play.
        seed: Of the environments.
    """

    run: tyro.conf.Positional[Path] = Path("runs/cartpole")
    episodes: int = 100
    seed: int = 1000

    def __call__(self, console: Console) -> None:
        """Print the mean return."""
        require_positive(episodes=self.episodes)
        policy = load_policy(self.run / POLICY)
        envs = make_cartpole_without_velocities(self.episodes)
        returns = evaluate_policy(policy.bundle, envs, policy.normalizer, seed=self.seed)
        verdict = "solved" if returns.mean() >= SOLVED_AT else "not solved"
        console.print(
            f"mean return of {self.episodes} episodes: {returns.mean():.1f} of 500, "
            f"lowest {returns.min():.0f} ({verdict}: {SOLVED_AT:g})",
            highlight=False,
        )


@dataclass
class Verify:
    """Run the catalogue of crossings here: what PyTorch does, and which tools notice.

    Exits with 1 when PyTorch did something else than expected, or a tool missed what it must
    notice or accused what is fine.

    Attributes:
        device: Where the crossings run.
        family: Families to run; none for all.
        json: File for the record of the run.
    """

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    family: tuple[str, ...] = ()
    json: Path | None = None

    def __call__(self, console: Console) -> None:
        """Print a table for each family and the summary, and write the record."""
        if self.json is not None:
            require_writable(self.json)
        results = with_progress(verify(self.device, self.family), self.family, console)
        print_results(results, self.device, console)
        if self.json is not None:
            write_record(self.json, record(results, self.device))
        if not all(result.holds for result in results):
            sys.exit(1)


@dataclass
class Tour:
    """Show the contract at work: what a rollout state does in a training call."""

    def __call__(self, console: Console) -> None:
        """Print the tour."""
        show_contract(console)


Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Tour, tyro.conf.subcommand("tour")]
)


class StepsPerSecond(ProgressColumn):
    """Shows the environment steps per second."""

    def render(self, task: Task) -> Text:
        """Return the speed, 0 before the first update."""
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} steps/s")


def train_with_progress(
    trainer: RecurrentPPO, log: TrainingLog, console: Console
) -> list[UpdateReport]:
    """Train, logging each update and showing steps, return, steps per second and time left."""
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        TextColumn("return {task.fields[episode_return]:.0f}"),
        StepsPerSecond(),
        TimeRemainingColumn(),
    )
    reports: list[UpdateReport] = []
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=trainer.total_steps, episode_return=0.0)
        for report in trainer.train():
            log.add(report)
            reports.append(report)
            progress.update(task, completed=report.steps, episode_return=report.episode_return)
    return reports


def main() -> None:
    """Run the command line; bad input ends with a message and exit code 2."""
    try:
        command = tyro.cli(Command, prog="tamiyo-rl", description=__doc__)
        command(Console())
    except (ValueError, OSError) as error:
        Console(stderr=True).print(f"tamiyo-rl: {error}", highlight=False, markup=False)
        sys.exit(2)
