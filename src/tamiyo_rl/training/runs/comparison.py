"""Several runs in one picture: a line for each kind of run, with a band over its seeds."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.log import RETURN, STEPS, read_log
from tamiyo_rl.training.runs.settings import RunSettings
from tamiyo_rl.training.storage.files import as_path, replace_file

# What tells two runs of one kind apart, or changes nothing of what they learn.
SAME_KIND = {
    *("seed", "device", "threads", "checkpoint_every", "keep_checkpoints", "tensorboard"),
    *("evaluate_every", "evaluate_episodes"),
}
Line = NDArray[np.float64]


class Curve(NamedTuple):
    """The return of the runs of one kind, over the steps that all of them have.

    Attributes:
        label: The settings in which this kind differs from the others.
        runs: How many runs there are.
        steps: `[N]`.
        mean: `[N]`, over the runs.
        lowest: `[N]`, of the runs.
        highest: `[N]`, of the runs.
    """

    label: str
    runs: int
    steps: Line
    mean: Line
    lowest: Line
    highest: Line

    def describe_runs(self) -> str:
        """Say how many runs there are."""
        return "1 run" if self.runs == 1 else f"{self.runs} runs"


class _Run(NamedTuple):
    path: Path
    env: str
    kind: dict[str, Any]
    steps: Line
    returns: Line


def compare_runs(
    runs: Sequence[str | os.PathLike[str]], picture: str | os.PathLike[str] = "compare.png"
) -> list[Curve]:
    """Draw the returns of runs over their steps, as `tamiyo-rl compare` does.

    Runs that differ in the seed only are one kind: a line for their mean, and a band from the
    lowest to the highest of them. The returns are those of the training, with sampled actions.

    Args:
        runs: Folders of runs of one environment, finished or not.
        picture: The file, which ends with `.png`.

    Returns:
        The curves, in the order of their first run.

    Raises:
        ValueError: If there is no run, one is of another environment or has no episode that has
            ended, or the picture has another ending. Nothing is written then.

    Examples:
        ```python
        from tamiyo_rl.training import PPOConfig, compare_runs
        from tamiyo_rl.training.runs.run import open_run
        from tamiyo_rl.training.runs.settings import RunSettings

        for seed in (0, 1):
            ppo = PPOConfig(total_steps=1024, epochs=1, seed=seed)
            with open_run(RunSettings(hidden_dim=8, ppo=ppo), f"runs/{seed}") as run:
                list(run.train())
        (curve,) = compare_runs(["runs/0", "runs/1"], "compare.png")
        assert (curve.lowest <= curve.mean).all() and (curve.mean <= curve.highest).all()
        print(curve.label, "of", curve.runs, "runs to", curve.steps[-1])
        ```

        ```text
        tamiyo-rl/PositionOnlyCartPole-v1 of 2 runs to 1024.0
        ```
    """
    path = as_path("picture", picture)
    if path.suffix != ".png":
        raise ValueError(f"picture: expected a file that ends with .png, got {path}.")
    read = [_read(as_path("runs", run)) for run in runs]
    if not read:
        raise ValueError("runs: expected folders of runs, got none.")
    _require_one_env(read)
    curves = _curves(read)
    _draw(curves, read[0].env, path)
    return curves


def _read(path: Path) -> _Run:
    folder = RunFolder(path)
    settings = asdict(RunSettings.read(folder.config))
    settings |= settings.pop("ppo")
    known = [row for row in read_log(folder.log) if not math.isnan(row[RETURN])]
    if not known:
        raise ValueError(f"{path}: expected a run with an episode that has ended, got none.")
    kind = {name: value for name, value in settings.items() if name not in SAME_KIND}
    steps, returns = (np.array([row[name] for row in known]) for name in (STEPS, RETURN))
    return _Run(path, settings["env"], kind, steps, returns)


def _require_one_env(runs: Sequence[_Run]) -> None:
    for run in runs:
        if run.env != runs[0].env:
            raise ValueError(
                f"{run.path}: expected a run of {runs[0].env} as {runs[0].path} is, got one of "
                f"{run.env}, whose returns cannot be compared."
            )


def _curves(runs: Sequence[_Run]) -> list[Curve]:
    kinds: list[list[_Run]] = []
    for run in runs:
        alike = next((kind for kind in kinds if kind[0].kind == run.kind), None)
        if alike is None:
            kinds.append([run])
        else:
            alike.append(run)
    firsts = [kind[0].kind for kind in kinds]
    varied = [name for name in firsts[0] if any(kind[name] != firsts[0][name] for kind in firsts)]
    return [_curve(_label(kind[0], varied), kind) for kind in kinds]


def _label(run: _Run, varied: Sequence[str]) -> str:
    return ", ".join(f"{name}={run.kind[name]}" for name in varied) or run.env


def _curve(label: str, runs: Sequence[_Run]) -> Curve:
    """Interpolate each run at the steps of all, as far as all of them go."""
    first, last = max(run.steps[0] for run in runs), min(run.steps[-1] for run in runs)
    if first > last:
        raise ValueError(
            f"runs: expected runs of one kind that have steps in common, got {len(runs)} such as "
            f"{runs[0].path} of which one ends at {last:,.0f} and another's first episode ends at "
            f"{first:,.0f}."
        )
    every = np.unique(np.concatenate([run.steps for run in runs]))
    steps = every[(first <= every) & (every <= last)]
    returns = np.stack([np.interp(steps, run.steps, run.returns) for run in runs])
    return Curve(
        label, len(runs), steps, returns.mean(axis=0), returns.min(axis=0), returns.max(axis=0)
    )


def _draw(curves: Sequence[Curve], env: str, path: Path) -> None:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for curve in curves:
        axes.plot(curve.steps, curve.mean, label=f"{curve.label} ({curve.describe_runs()})")
        axes.fill_between(curve.steps, curve.lowest, curve.highest, alpha=0.2, linewidth=0)
    axes.set(
        title=env,
        xlabel="environment steps",
        ylabel="mean return of 100 episodes, actions sampled",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png")
    replace_file(path, picture.getvalue())
