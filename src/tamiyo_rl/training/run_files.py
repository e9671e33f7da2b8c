"""What a training run leaves behind: the policy, the log and the learning curve."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from types import TracebackType
from typing import Self

from matplotlib.figure import Figure

from tamiyo_rl.training.diagnostics import UpdateReport

POLICY, LOG, CURVE = "policy.pt", "log.csv", "learning_curve.png"


class TrainingLog:
    """Writes one line for each update to a CSV file, flushed at once.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer: csv.DictWriter[str] | None = None

    def add(self, report: UpdateReport) -> None:
        """Write one report, after the names of its figures if it is the first."""
        scalars = report.scalars()
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(scalars))
            self._writer.writeheader()
        self._writer.writerow(scalars)
        self._file.flush()

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()


def draw_learning_curve(reports: list[UpdateReport], path: Path, *, solved_at: float) -> None:
    """Draw the return over the environment steps.

    Args:
        reports: What the training reported.
        path: The picture, PNG.
        solved_at: Return at which the task counts as solved, drawn as a line.
    """
    known = [r for r in reports if not math.isnan(r.episode_return)]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([r.steps for r in known], [r.episode_return for r in known], color="tab:blue")
    axes.axhline(solved_at, color="tab:gray", linestyle="--", label=f"solved: {solved_at:g}")
    axes.set(xlabel="environment steps", ylabel="mean return of 100 sampled episodes")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
