"""The folder of a training run: settings, checkpoints, log, learning curve and policy."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Self

from matplotlib.figure import Figure

from tamiyo_rl.training.runs.checkpoint import latest_checkpoint
from tamiyo_rl.training.runs.log import DAMAGED, EVALUATED, RETURN, STEPS
from tamiyo_rl.training.runs.settings import RunSettings
from tamiyo_rl.training.storage.files import UNFINISHED, as_path, replace_file


class RunFolder:
    """The folder of one run, and where things are in it.

    Args:
        path: The folder.

    Attributes:
        config: Settings, versions and date, as JSON; a folder that has it holds a run.
        checkpoints: Folder of the checkpoints.
        log: One line for each update, as CSV.
        curve: The return over the steps, as PNG.
        policy: The trained policy, for `load_policy`.
        best: The policy whose evaluation was the best, if there were evaluations.
        video: An episode, if one was recorded.
        tensorboard: Folder of the event files, if they were asked for.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path("path", path)
        self.config = self.path / "config.json"
        self.checkpoints = self.path / "checkpoints"
        self.log = self.path / "log.csv"
        self.curve = self.path / "learning_curve.png"
        self.policy = self.path / "policy.pt"
        self.best = self.path / "best.pt"
        self.video = self.path / "episode.mp4"
        self.tensorboard = self.path / "tensorboard"

    @classmethod
    def new(cls, parent: str | os.PathLike[str]) -> Self:
        """Return the folder `1`, `2`, ... below `parent` that follows those that are there."""
        folder = as_path("parent", parent)
        taken = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
        return cls(folder / str(max(taken, default=0) + 1))

    def require_free(self, *, overwrite: bool) -> None:
        """Raise `ValueError` where the folder holds a run that is not to be overwritten."""
        if self.config.exists() and not overwrite:
            raise ValueError(
                f"{self.path}: expected a folder without a run, got the folder of one"
                f"\n  do: pass another folder, or --resume {self.path} to go on, or --overwrite"
            )

    def begin(self, settings: RunSettings) -> None:
        """Write the settings of a new run, where nothing is left of an old one.

        Args:
            settings: Of the new run.
        """
        self._clear()
        settings.write(self.config)

    def latest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint; None before the first."""
        return latest_checkpoint(self.checkpoints)

    def require_checkpoint(self) -> Path:
        """Return the newest checkpoint; `ValueError` before the first."""
        newest = self.latest_checkpoint()
        if newest is None:
            raise ValueError(
                f"{self.path}: expected a run with a checkpoint, got a run before its first"
                f"\n  do: tamiyo-rl train --resume {self.path}"
            )
        return newest

    def _clear(self) -> None:
        """Remove what a run left, the config first: a half cleared folder holds no run."""
        damaged = self.log.with_name(self.log.name + DAMAGED)
        left = [self.config, self.log, damaged, self.curve, self.policy, self.best, self.video]
        left += [*self.checkpoints.glob("checkpoint-*.pt"), *self.tensorboard.glob("events.*")]
        left += self.path.rglob(f"*{UNFINISHED}")
        for path in left:
            path.unlink(missing_ok=True)


def draw_learning_curve(
    log: list[dict[str, float]], path: str | os.PathLike[str], *, solved_at: float | None = None
) -> None:
    """Draw the return over the environment steps.

    Args:
        log: What `read_log` returned.
        path: The picture, PNG.
        solved_at: Return at which the task counts as solved, drawn as a line; None for none.
    """
    evaluated = _points(log, EVALUATED)
    training = "training: actions sampled" if evaluated[0] else "return"
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*_points(log, RETURN), label=training)
    if evaluated[0]:
        axes.plot(*evaluated, marker=".", label="evaluation: most probable actions")
    if solved_at is not None:
        axes.axhline(solved_at, color="tab:gray", linestyle="--", label=f"solved: {solved_at:g}")
    axes.set(
        xlabel="environment steps",
        ylabel="mean return" if evaluated[0] else "mean return of 100 episodes, actions sampled",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png")
    replace_file(path, picture.getvalue())


def _points(log: list[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a figure is known, and the figure there."""
    known = [row for row in log if not math.isnan(row.get(name, math.nan))]
    return [row[STEPS] for row in known], [row[name] for row in known]
