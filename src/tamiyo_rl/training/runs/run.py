"""A training run: a trainer, its folder, and the loop that fills it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from gymnasium.vector import VectorEnv
from torch.nn.parallel import DistributedDataParallel

from tamiyo_rl.policy.bundle import LSTMPolicyBundle
from tamiyo_rl.training.distributed import local_device, rank, world_size
from tamiyo_rl.training.envs.make import reward_threshold
from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.ppo.trainer import RecurrentPPO
from tamiyo_rl.training.runs.beginning import init_from_policy
from tamiyo_rl.training.runs.checkpoint import load_checkpoint, save_checkpoint
from tamiyo_rl.training.runs.folder import RunFolder, draw_learning_curve
from tamiyo_rl.training.runs.judge import Judge
from tamiyo_rl.training.runs.lock import lock_run
from tamiyo_rl.training.runs.log import (
    TensorBoardLog,
    TrainingLog,
    best_evaluation,
    read_log,
    require_tensorboard,
)
from tamiyo_rl.training.runs.policy import save_policy
from tamiyo_rl.training.runs.settings import RunSettings
from tamiyo_rl.training.runs.task import make_task

Logs = list[TrainingLog | TensorBoardLog]


class Run:
    """A run that has been opened with `open_run`.

    Args:
        settings: The settings.
        folder: Where the run writes.
        trainer: Where the training stands.
        logs: Logs of this process: only the first process has any.
        judge: What evaluates in the course of the run; None for nothing.

    Attributes:
        repaired: What was done to a damaged log, in a sentence; None for a whole one.
    """

    def __init__(
        self,
        settings: RunSettings,
        folder: RunFolder,
        trainer: RecurrentPPO,
        logs: Logs,
        judge: Judge | None,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.trainer = trainer
        self._logs = logs
        self._judge = judge
        self.repaired = next((log.repaired for log in logs if isinstance(log, TrainingLog)), None)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done, or an evaluation has reached `stop_at`."""
        return self.trainer.steps == self.trainer.total_steps or self.has_reached_return

    @property
    def has_reached_return(self) -> bool:
        """Whether an evaluation has reached `stop_at`."""
        stop_at = self.settings.stop_at
        return self._judge is not None and stop_at is not None and self._judge.best >= stop_at

    def train(self) -> Iterator[UpdateReport]:
        """Train, and yield a report after each update; write the policy and the curve at the end.

        It writes a checkpoint every `checkpoint_every` updates, and with each best policy. To stop
        before the end, call `save()` and break.
        """
        updates = self.trainer.train()
        count = 0
        while not self.is_finished:
            count += 1
            report, is_best = self._judged(next(updates))
            for log in self._logs:
                log.add(report)
            if is_best or self.is_finished or count % self.settings.checkpoint_every == 0:
                self.save()
            yield report
        if rank() == 0:
            self._finish()

    def _judged(self, report: UpdateReport) -> tuple[UpdateReport, bool]:
        """Evaluate if it is due, and keep the policy if it is the best so far."""
        if self._judge is None:
            return report, False
        report, is_best = self._judge.judge(report)
        if is_best and rank() == 0:
            self._save_policy(self.folder.best)
        return report, is_best

    def save(self) -> None:
        """Write a checkpoint; where several processes train, all of them call."""
        keep = self.settings.keep_checkpoints
        save_checkpoint(self.folder.checkpoints, self.trainer, keep=keep)

    def _finish(self) -> None:
        self._save_policy(self.folder.policy)
        solved_at = reward_threshold(self.trainer.envs)
        draw_learning_curve(read_log(self.folder.log), self.folder.curve, solved_at=solved_at)

    def _save_policy(self, path: Path) -> None:
        bundle = cast("LSTMPolicyBundle", self.trainer.bundle)
        save_policy(path, bundle, self.trainer.normalizer)


@contextmanager
def open_run(
    settings: RunSettings,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Run]:
    """Open a run as `tamiyo-rl train` does: begin its folder, or load its newest checkpoint.

    Args:
        settings: The settings; to resume, those that `RunSettings.read` reads from the folder, of
            which `ppo.total_steps` may be another.
        folder: The run folder.
        resume: Whether to go on with the run that the folder holds.
        overwrite: Whether to replace the run that the folder holds.

    Raises:
        ValueError: If a setting does not fit, another training uses the folder, or the folder
            holds a run that shall be neither resumed nor replaced.
        ImportError: If the settings ask for TensorBoard, and it is not installed.

    Examples:
        ```python
        from tamiyo_rl.training import PPOConfig
        from tamiyo_rl.training.runs.run import open_run
        from tamiyo_rl.training.runs.settings import RunSettings

        settings = RunSettings(hidden_dim=8, ppo=PPOConfig(total_steps=2048, epochs=1))
        with open_run(settings, "runs/mine") as run:
            for report in run.train():
                print(report.steps)
        print(run.folder.policy)
        ```

        ```text
        256
        512
        768
        1024
        1280
        1536
        1792
        2048
        runs/mine/policy.pt
        ```
    """
    if settings.tensorboard:
        require_tensorboard()
    torch.set_num_threads(settings.threads)
    files = RunFolder(folder)
    with ExitStack() as opened:
        trainer = opened.enter_context(make_trainer(settings))
        if judges := _make_judges(settings):
            opened.callback(judges.close)
        if rank() == 0:
            opened.enter_context(lock_run(files.path))
        if resume:
            _go_on(files, trainer, settings)
        elif rank() == 0:
            files.require_free(overwrite=overwrite)
            files.begin(settings)
        logs = _logs(settings, files, trainer.steps) if rank() == 0 else []
        for log in logs:
            opened.enter_context(log)
        yield Run(settings, files, trainer, logs, _make_judge(settings, files, trainer, judges))


@contextmanager
def make_trainer(settings: RunSettings) -> Iterator[RecurrentPPO]:
    """Make the trainer of a run; at the end, its environments are closed.

    Args:
        settings: The settings.

    Raises:
        ValueError: If a setting does not fit, naming it.
    """
    if settings.num_envs % world_size():
        raise ValueError(
            f"num_envs: expected a multiple of the {world_size()} processes, got "
            f"{settings.num_envs}."
        )
    torch.manual_seed(settings.ppo.seed)
    with closing(make_task(settings, settings.num_envs // world_size())) as envs:
        bundle = LSTMPolicyBundle.from_spaces(
            envs.single_observation_space,
            envs.single_action_space,
            hidden_dim=settings.hidden_dim,
            num_lstm_layers=settings.num_lstm_layers,
            learn_initial_hidden=settings.learn_initial_hidden,
            cell=settings.cell,
            critic=settings.critic,
            head_dims=settings.head_dims,
            encoder=settings.encoder,
        ).to(local_device(settings.device))
        trainer = RecurrentPPO(envs, _wrapped(bundle), settings.ppo)
        if settings.init_from is not None:
            init_from_policy(trainer, settings.init_from)
        yield trainer


def _wrapped(bundle: LSTMPolicyBundle) -> LSTMPolicyBundle:
    """Let the processes share their gradients, where several train."""
    if world_size() > 1:
        bundle.network = DistributedDataParallel(bundle.network)
    return bundle


def _make_judges(settings: RunSettings) -> VectorEnv[Any, Any, Any] | None:
    """Make the environments of the evaluations, if the settings ask for any."""
    if settings.evaluate_every is None:
        return None
    return make_task(settings, min(settings.num_envs, settings.evaluate_episodes))


def _make_judge(
    settings: RunSettings,
    folder: RunFolder,
    trainer: RecurrentPPO,
    judges: VectorEnv[Any, Any, Any] | None,
) -> Judge | None:
    if judges is None or settings.evaluate_every is None:
        return None
    return Judge(
        trainer,
        judges,
        every=settings.evaluate_every,
        episodes=settings.evaluate_episodes,
        best=best_evaluation(read_log(folder.log)) if rank() == 0 else -math.inf,
    )


def _go_on(folder: RunFolder, trainer: RecurrentPPO, settings: RunSettings) -> None:
    """Load the newest checkpoint, and then keep the settings with which the run goes on."""
    saved = RunSettings.read(folder.config)
    newest = folder.latest_checkpoint()
    if newest is not None:
        load_checkpoint(newest, trainer)
    if saved != settings and rank() == 0:
        settings.write(folder.config)


def _logs(settings: RunSettings, folder: RunFolder, steps: int) -> Logs:
    logs: Logs = [TrainingLog(folder.log, after=steps)]
    if settings.tensorboard:
        logs.append(TensorBoardLog(folder.tensorboard, after=steps))
    return logs
