"""`tamiyo-rl train`: from an environment, or from the checkpoint of a run, to a policy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import torch
import tyro
from rich.console import Console
from torch.nn.parallel import DistributedDataParallel

from tamiyo_rl.checks import require_positive
from tamiyo_rl.cli.environments import open_envs, reward_threshold
from tamiyo_rl.cli.progress import make_progress, say
from tamiyo_rl.cli.signals import StopSignals
from tamiyo_rl.policy.bundle import LSTMPolicyBundle
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.distributed import (
    largest_of_processes,
    local_device,
    process_group,
    rank,
    world_size,
)
from tamiyo_rl.training.envs.make import DEFAULT_TASK
from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.ppo.trainer import RecurrentPPO
from tamiyo_rl.training.runs.checkpoint import load_checkpoint, save_checkpoint
from tamiyo_rl.training.runs.folder import RunFolder, draw_learning_curve
from tamiyo_rl.training.runs.lock import lock_run
from tamiyo_rl.training.runs.log import TrainingLog, read_log
from tamiyo_rl.training.runs.policy import save_policy
from tamiyo_rl.training.runs.tensorboard import TensorBoardLog, require_tensorboard

Watcher = Callable[[UpdateReport], None]
NEW_FOLDER: Any = {"metavar": "[PATH]", "help_behavior_hint": "(default: runs/1, runs/2, ...)"}
NOT_SAVED = ("run", "overwrite", "resume")


@dataclass
class Train:
    """Train a recurrent policy, or go on with a run that was interrupted.

    Attributes:
        run: Folder for the checkpoints, the log and the learning curve.
        env: Gymnasium id of the environment.
        resume: Folder of a run to go on with, by its own settings.
        overwrite: Whether to replace the run that the folder holds.
        num_envs: Environments that are stepped together, in all processes.
        hidden_dim: Width of the LSTM.
        num_lstm_layers: Stacked layers of the LSTM.
        learn_initial_hidden: Whether the LSTM learns its initial state.
        device: Where the policy is trained.
        threads: Threads of PyTorch; more than one pays for larger networks only.
        checkpoint_every: Updates from one checkpoint to the next.
        keep_checkpoints: How many checkpoints stay.
        tensorboard: Whether to write the figures for TensorBoard too.
        ppo: Settings of PPO.
    """

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(**NEW_FOLDER)] = None
    env: str = DEFAULT_TASK
    resume: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    num_envs: int = 8
    hidden_dim: int = 64
    num_lstm_layers: int = 1
    learn_initial_hidden: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    checkpoint_every: int = 10
    keep_checkpoints: int = 3
    tensorboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    ppo: Annotated[PPOConfig, tyro.conf.arg(name="")] = field(default_factory=PPOConfig)

    @classmethod
    def from_settings(cls, path: Path, settings: Mapping[str, Any]) -> Self:
        """Build the command from what a run's config holds.

        Args:
            path: The config, for the errors.
            settings: What `settings()` returned.

        Raises:
            ValueError: If they are not the settings of a run.
        """
        try:
            _require_types(settings, cls().settings())
            return cls(**{**settings, "ppo": PPOConfig(**settings["ppo"])})
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path}: expected the settings of a run, got {type(error).__name__}: {error}"
                "\n  do: restore the file, or train again in another folder"
            ) from error

    def settings(self) -> dict[str, Any]:
        """Return what makes the training what it is: not where, and not how it was asked for."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_SAVED}

    def saved(self) -> Train:
        """Return the command by which the run that is resumed was begun."""
        folder = RunFolder(cast("Path", self.resume))
        begun = self.from_settings(folder.config, folder.read_config())
        return replace(begun, run=folder.path, resume=folder.path)

    def resumed(self, given: Train) -> Train:
        """Return the command for going on, where nothing was asked for that the run has not.

        Args:
            given: The command as parsed with `saved()` for defaults.

        Raises:
            ValueError: If a setting differs from that of the run, or comes with `--resume`.
        """
        saved = self.saved()
        if self.run is not None or self.overwrite:
            raise ValueError(
                "resume: expected only the folder of a run, got another folder or --overwrite "
                "beside it. Leave that out to go on with the run."
            )
        own, other = (_flat(command.settings()) for command in (saved, given))
        for name, value in own.items():
            if other[name] != value:
                raise ValueError(
                    f"{name}: expected {value!r} as the run in {saved.run} has, got "
                    f"{other[name]!r}. Leave it out to go on, or train in another folder."
                )
        return saved

    def __call__(self, console: Console) -> None:
        """Train, and leave the policy, the log and the learning curve in the run folder."""
        require_positive(
            **{n: getattr(self, n) for n in ("num_envs", "threads")},
            checkpoint_every=self.checkpoint_every,
            keep_checkpoints=self.keep_checkpoints,
        )
        if self.tensorboard:
            require_tensorboard()
        torch.set_num_threads(self.threads)
        with StopSignals() as signals, process_group(), ExitStack() as opened:
            console.quiet = rank() > 0
            trainer = self._make_trainer(opened)
            folder = RunFolder.new("runs") if self.run is None else RunFolder(self.run)
            if rank() == 0:
                opened.enter_context(lock_run(folder.path))
            self._prepare(folder, trainer, console)
            stopped_by = self._train(folder, trainer, signals, console)
        if stopped_by:
            sys.exit(128 + stopped_by)

    def _make_trainer(self, opened: ExitStack) -> RecurrentPPO:
        """Make the trainer, whose environments are closed with `opened`."""
        if self.num_envs % world_size():
            raise ValueError(
                f"num_envs: expected a multiple of the {world_size()} processes, got "
                f"{self.num_envs}."
            )
        torch.manual_seed(self.ppo.seed)
        envs = opened.enter_context(closing(open_envs(self.env, self.num_envs // world_size())))
        bundle = LSTMPolicyBundle.from_spaces(
            envs.single_observation_space,
            envs.single_action_space,
            hidden_dim=self.hidden_dim,
            num_lstm_layers=self.num_lstm_layers,
            learn_initial_hidden=self.learn_initial_hidden,
        ).to(local_device(self.device))
        if world_size() > 1:
            bundle.network = DistributedDataParallel(bundle.network)
        return RecurrentPPO(envs, bundle, self.ppo)

    def _prepare(self, folder: RunFolder, trainer: RecurrentPPO, console: Console) -> None:
        """Begin the folder of a run, or load the newest checkpoint of one."""
        steps = f"{trainer.total_steps:,} steps"
        if trainer.total_steps < self.ppo.total_steps:
            steps += f", the whole rollouts in the {self.ppo.total_steps:,} asked for"
        if self.resume is None:
            if rank() == 0:
                folder.require_free(overwrite=self.overwrite)
                folder.begin(self.settings())
            say(console, f"training in {folder.path}: {steps}")
            return
        newest = folder.latest_checkpoint()
        if newest is not None:
            load_checkpoint(newest, trainer)
        say(console, f"going on at {trainer.steps:,} of {steps}")

    def _train(
        self, folder: RunFolder, trainer: RecurrentPPO, signals: StopSignals, console: Console
    ) -> int:
        """Train to the end or to a signal, which is returned; 0 for none."""
        with ExitStack() as opened:
            watchers: list[Watcher] = []
            if rank() == 0:
                log = opened.enter_context(TrainingLog(folder.log, after=trainer.steps))
                if log.repaired:
                    say(console, log.repaired)
                watchers = [log.add, opened.enter_context(make_progress(console, trainer)).show]
            if rank() == 0 and self.tensorboard:
                events = TensorBoardLog(folder.tensorboard, after=trainer.steps)
                watchers.append(opened.enter_context(events).add)
            stopped_by = self._update(folder, trainer, watchers, signals)
        if rank() > 0:
            return stopped_by
        if stopped_by:
            say(console, f"stopped: tamiyo-rl train --resume {folder.path} goes on from here")
            return stopped_by
        self._finish(folder, trainer, console)
        return 0

    def _update(
        self,
        folder: RunFolder,
        trainer: RecurrentPPO,
        watchers: Sequence[Watcher],
        signals: StopSignals,
    ) -> int:
        for count, report in enumerate(trainer.train(), start=1):
            for watch in watchers:
                watch(report)
            stopped_by = int(largest_of_processes(signals.received))
            ends = trainer.steps == trainer.total_steps
            if stopped_by or ends or count % self.checkpoint_every == 0:
                save_checkpoint(folder.checkpoints, trainer, keep=self.keep_checkpoints)
            if stopped_by and not ends:
                return stopped_by
        return 0

    def _finish(self, folder: RunFolder, trainer: RecurrentPPO, console: Console) -> None:
        bundle = cast("LSTMPolicyBundle", trainer.bundle)
        save_policy(folder.policy, bundle, trainer.normalizer)
        draw_learning_curve(
            read_log(folder.log), folder.curve, solved_at=reward_threshold(trainer.envs)
        )
        for path in (folder.policy, folder.log, folder.curve):
            say(console, f"wrote {path}")
        say(
            console,
            "the curve shows episodes with sampled actions; tamiyo-rl evaluate "
            f"{folder.path} plays the most probable ones",
        )


def _require_types(settings: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    if not isinstance(settings, Mapping) or settings.keys() != like.keys():
        raise ValueError(f"expected {sorted(like)}, got {settings!r}")
    for name, value in settings.items():
        if type(value) is not type(like[name]):
            raise TypeError(f"{name}: expected {type(like[name]).__name__}, got {value!r}")


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    ppo: dict[str, Any] = settings["ppo"]
    return {name: value for name, value in settings.items() if name != "ppo"} | ppo
