"""Learning curves from the records: a figure for each mistake beside the correct training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmarks.curves.records import read
from benchmarks.svg import save_svgs

FOLDER = Path("docs/assets/mistakes")
# Okabe and Ito's blue and orange, told apart by all kinds of sight; lighter on dark.
COLOURS = {"light": ("#0072b2", "#c04f00"), "dark": ("#56b4e9", "#e69f00")}
FIGURES = {
    "policy-loss": {
        "correct": "cartpole-correct",
        "policy loss from the rollout": "cartpole-policy-loss",
    },
    "value-loss": {
        "correct": "cartpole-correct",
        "value loss from the rollout": "cartpole-value-loss",
    },
    "resets-cartpole": {"correct": "cartpole-correct", "resets ignored": "cartpole-resets"},
    "resets-repeat": {"correct": "repeat-correct", "resets ignored": "repeat-resets"},
    "initial-state": {"correct": "tune-correct", "initial state detached": "tune-detached"},
}


def draw_all(folder: Path = FOLDER) -> None:
    """Draw every figure for both schemes, with the same bytes for the same records."""
    for name, runs in FIGURES.items():
        save_svgs(folder, name, (5.2, 3.2), partial(_draw, runs))


def _draw(runs: Mapping[str, str], axes: Axes, scheme: str) -> None:
    for (label, run), colour, style in zip(runs.items(), COLOURS[scheme], ("-", "--"), strict=True):
        _add_curve(axes, run, label=label, color=colour, linestyle=style)
    axes.set(xlabel="environment steps (thousands)", ylabel="mean return, actions sampled")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="best")


def _add_curve(axes: Axes, run: str, **style: Any) -> None:
    """Draw the mean over the seeds, and the band from the lowest seed to the highest."""
    curves = read(run)
    returns = np.array([curve.returns for curve in curves])
    thousands = np.array(curves[0].steps) / 1000
    axes.plot(thousands, returns.mean(axis=0), **style)
    axes.fill_between(
        thousands,
        returns.min(axis=0),
        returns.max(axis=0),
        color=style["color"],
        alpha=0.25,
        linewidth=0,
    )


if __name__ == "__main__":
    draw_all()
