"""Draws the learning curves from the records: a figure for each mistake, for light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.mistakes.records import read

FOLDER = Path("docs/assets/mistakes")
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
INK = {"light": "#1f2328", "dark": "#e6e8eb"}
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
    """Draw every figure for both schemes, the same bytes for the same records."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, runs in FIGURES.items():
        for scheme, ink in INK.items():
            settings: Any = {"svg.hashsalt": name, "svg.fonttype": "none"}
            settings |= dict.fromkeys(INKED, ink)
            with mpl.rc_context(settings):
                _draw(runs, scheme, folder / f"{name}-{scheme}.svg")


def _draw(runs: Mapping[str, str], scheme: str, path: Path) -> None:
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for (label, run), colour, style in zip(runs.items(), COLOURS[scheme], ("-", "--"), strict=True):
        _add_curve(axes, run, label=label, color=colour, linestyle=style)
    axes.set(xlabel="environment steps (thousands)", ylabel="mean return of 100 episodes")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="best")
    metadata = {"Date": None, "Creator": None}
    figure.savefig(path, transparent=True, metadata=metadata)


def _add_curve(axes: Axes, run: str, **style: Any) -> None:
    """Draw the mean of the seeds, and the band from the lowest to the highest of them."""
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
