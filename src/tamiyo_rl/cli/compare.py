"""`tamiyo-rl compare`: several runs in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from tamiyo_rl.cli.progress import say
from tamiyo_rl.training.runs.comparison import Curve, compare_runs


@dataclass
class Compare:
    """Draw the returns of several runs into one picture, with a band over runs of other seeds.

    Attributes:
        runs: Folders of runs of one environment, finished or not.
        picture: The file, which ends with .png.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    picture: Path = Path("compare.png")

    def __call__(self, console: Console) -> None:
        """Draw, and print where each curve ends."""
        for curve in compare_runs(self.runs, self.picture):
            say(console, _describe(curve))
        say(console, f"wrote {self.picture}")


def _describe(curve: Curve) -> str:
    return (
        f"{curve.label}: {curve.describe_runs()}, return {curve.mean[-1]:.1f} with sampled actions "
        f"at {curve.steps[-1]:,.0f} steps, lowest {curve.lowest[-1]:.1f}, highest "
        f"{curve.highest[-1]:.1f}"
    )
