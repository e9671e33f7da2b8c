"""Time of one PPO update: bars by method, and lines over the reset rate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.svg import save_svgs

RECORD = Path("benchmarks/results.json")
ASSETS = Path("docs/assets")
ROWS = 16
RATE = 0.1
STYLES: Mapping[str, tuple[dict[str, str], str]] = {
    "tamiyo-rl": ({"light": "#0072b2", "dark": "#56b4e9"}, "o"),
    "raw nn.LSTM, no resets": ({"light": "#6e7781", "dark": "#9da7b1"}, "_"),
    "split and pad": ({"light": "#c04f00", "dark": "#e69f00"}, "s"),
    "PackedSequence": ({"light": "#007a5a", "dark": "#2fc79b"}, "^"),
    "step loop": ({"light": "#a0407c", "dark": "#dc8fbf"}, "v"),
    "sb3-contrib": ({"light": "#5b3fa8", "dark": "#b9a3f2"}, "D"),
    "TorchRL (pad, eager)": ({"light": "#8a6d00", "dark": "#f0e442"}, "x"),
}
OURS = "tamiyo-rl"
OTHERS = "raw nn.LSTM, no resets"  # whose grey the bars of all others have


def draw_all(update: Mapping[str, Any], assets: Path = ASSETS) -> None:
    """Draw both figures for both schemes, with the same bytes for the same record.

    Args:
        update: The record of the suite `update`.
        assets: The folder of the site's assets.
    """
    cases = [case for case in update["cases"] if case["rows"] == ROWS]
    save_svgs(assets / "benchmarks", "update", (6.0, 2.6), partial(_draw_bars, cases))
    save_svgs(assets / "resets", "update", (6.0, 4.0), partial(_draw_lines, cases))


def update_times(cases: list[Mapping[str, Any]]) -> dict[str, float]:
    """Return the milliseconds of each drawn method at the reset rate of the bars, least first."""
    (seconds,) = (case["seconds"] for case in cases if case["reset rate"] == RATE)
    return {name: 1e3 * seconds[name] for name in sorted(STYLES, key=seconds.__getitem__)}


def _draw_bars(cases: list[Mapping[str, Any]], axes: Axes, scheme: str) -> None:
    times = update_times(cases)
    colours = [STYLES[OURS if name == OURS else OTHERS][0][scheme] for name in times]
    bars = axes.barh(list(times), list(times.values()), color=colours)
    axes.bar_label(bars, fmt="{:.0f}", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(f"time of one PPO update, {RATE:.0%} resets (ms)")
    axes.set_xscale("log")
    axes.set_xlim(left=10)
    axes.set_xticks([10, 30, 100, 300], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def _draw_lines(cases: list[Mapping[str, Any]], axes: Axes, scheme: str) -> None:
    rates = [100 * case["reset rate"] for case in cases]
    for method, (colours, marker) in STYLES.items():
        times = [1e3 * case["seconds"][method] for case in cases]
        axes.plot(rates, times, label=method, color=colours[scheme], marker=marker)
    axes.set(xlabel="steps that start an episode (%)", ylabel="time of one PPO update (ms)")
    axes.set_yscale("log")
    axes.set_yticks([20, 30, 50, 100, 200, 300, 500], minor=False)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))


if __name__ == "__main__":
    draw_all(json.loads(RECORD.read_text("utf-8"))["update"])
