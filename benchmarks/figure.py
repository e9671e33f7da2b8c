"""Draws the time of an update against the reset rate, for light and dark, from the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.mistakes.figures import INK, INKED

RECORD = Path("benchmarks/results.json")
FOLDER, ROWS = Path("docs/assets/resets"), 16
STYLES: Mapping[str, tuple[str, str, str]] = {  # light, dark, marker
    "tamiyo-rl": ("#0072b2", "#56b4e9", "o"),
    "raw nn.LSTM, no resets": ("#6e7781", "#9da7b1", "_"),
    "split and pad": ("#c04f00", "#e69f00", "s"),
    "PackedSequence": ("#007a5a", "#2fc79b", "^"),
    "step loop": ("#a0407c", "#dc8fbf", "v"),
    "sb3-contrib": ("#5b3fa8", "#b9a3f2", "D"),
    "TorchRL (pad, eager)": ("#8a6d00", "#f0e442", "x"),
}


def draw(update: Mapping[str, Any], folder: Path = FOLDER) -> None:
    """Draw the figure for both schemes, the same bytes for the same record.

    Args:
        update: The record of the suite `update`.
        folder: Where the figures go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for column, (scheme, ink) in enumerate(INK.items()):
        settings: Any = {"svg.hashsalt": "resets", "svg.fonttype": "none"}
        with mpl.rc_context(settings | dict.fromkeys(INKED, ink)):
            _draw(update, column, folder / f"update-{scheme}.svg")


def _draw(update: Mapping[str, Any], column: int, path: Path) -> None:
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    cases = [case for case in update["cases"] if case["rows"] == ROWS]
    rates = [100 * case["reset rate"] for case in cases]
    for method, style in STYLES.items():
        times = [1e3 * case["seconds"][method] for case in cases]
        axes.plot(rates, times, label=method, color=style[column], marker=style[2])
    axes.set(xlabel="steps that start an episode (%)", ylabel="time of one PPO update (ms)")
    axes.set_yscale("log")
    axes.set_yticks([20, 30, 50, 100, 200, 300, 500], minor=False)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(json.loads(RECORD.read_text())["update"])
