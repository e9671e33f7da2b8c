"""`tamiyo-rl train`: from an environment, or from the checkpoint of a run, to a policy."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from tamiyo_rl.cli.progress import say, show_progress
from tamiyo_rl.cli.signals import stop_signals
from tamiyo_rl.training.distributed import largest_of_processes, process_group, rank
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.run import Run, open_run
from tamiyo_rl.training.runs.settings import Flag, RunSettings

NEW_FOLDER: Any = {"metavar": "[PATH]", "help_behavior_hint": "(default: runs/1, runs/2, ...)"}


@dataclass
class Train:
    """Train a recurrent policy, or go on with a run that was interrupted.

    Attributes:
        run: Folder for the checkpoints, the log and the learning curve.
        resume: Folder of a run to go on with, by its own settings. More --total-steps train a
            finished run further; rates that had fallen to 0 go on as if the run had been that long
            from the beginning.
        overwrite: Whether to replace the run that the folder holds.
        settings: Settings of the run.
    """

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(**NEW_FOLDER)] = None
    resume: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    overwrite: Flag = False
    settings: Annotated[RunSettings, tyro.conf.arg(name="")] = field(default_factory=RunSettings)

    def saved(self, folder: Path) -> Train:
        """Return the command by which the run that is resumed was begun.

        Args:
            folder: The folder of the run.

        Raises:
            ValueError: If a folder or `--overwrite` is given too, or the folder holds no run.
        """
        if self.run is not None or self.overwrite:
            raise ValueError(
                "resume: expected only the folder of a run, got another folder or --overwrite "
                "beside it. Leave that out to go on with the run."
            )
        settings = RunSettings.read(RunFolder(folder).config)
        return Train(run=folder, resume=folder, settings=settings)

    def require_settings_of(self, saved: Train) -> None:
        """Raise `ValueError` if a setting but the number of steps differs from the run's own."""
        given = _flat(self.settings)
        for name, value in _flat(saved.settings).items():
            if name != "total_steps" and given[name] != value:
                raise ValueError(
                    f"{name}: expected {value!r} as the run in {saved.run} has, got "
                    f"{given[name]!r}. Leave it out to go on, or train in another folder."
                )

    def __call__(self, console: Console) -> None:
        """Train, and leave the policy, the log and the learning curve in the run folder."""
        folder = RunFolder.new("runs").path if self.run is None else self.run
        resume = self.resume is not None
        with stop_signals() as received, process_group():
            console.quiet = rank() > 0
            with open_run(self.settings, folder, resume=resume, overwrite=self.overwrite) as run:
                say(console, _beginning(run, resume=resume))
                if run.repaired:
                    say(console, run.repaired)
                stopped_by = _train(run, received, console)
                say(console, _ending(run))
        if stopped_by:
            sys.exit(128 + stopped_by)


def _train(run: Run, received: list[int], console: Console) -> int:
    """Train to the end or to a signal, which is returned; 0 for none."""
    with show_progress(console, run.trainer) as show:
        for report in run.train():
            show(report)
            stopped_by = int(largest_of_processes(sum(received)))
            if stopped_by and not run.is_finished:
                run.save()
                return stopped_by
    return 0


def _beginning(run: Run, *, resume: bool) -> str:
    asked_for = run.settings.ppo.total_steps
    steps = f"{run.trainer.total_steps:,} steps"
    if run.trainer.total_steps < asked_for:
        steps += f", the whole rollouts in the {asked_for:,} asked for"
    if resume:
        return f"going on at {run.trainer.steps:,} of {steps}"
    return f"training in {run.folder.path}: {steps}"


def _ending(run: Run) -> str:
    folder = run.folder
    if not run.is_finished:
        return f"stopped: tamiyo-rl train --resume {folder.path} goes on from here"
    judged = run.settings.evaluate_every is not None
    best = [folder.best] if judged else []
    written = [f"wrote {path}" for path in (folder.policy, *best, folder.log, folder.curve)]
    if run.has_reached_return:
        written.insert(0, f"an evaluation reached the return of {run.settings.stop_at:g}")
    curve = (
        "the curve shows episodes with sampled actions, and evaluations with the most probable ones"
        if judged
        else "the curve shows episodes with sampled actions; tamiyo-rl evaluate "
        f"{folder.path} plays the most probable ones"
    )
    return "\n".join([*written, curve])


def _flat(settings: RunSettings) -> dict[str, Any]:
    by_name = asdict(settings)
    ppo: dict[str, Any] = by_name.pop("ppo")
    return by_name | ppo
