"""Records of the runs, a CSV file each, and the table that the site shows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmarks.curves.loop import Progress

FOLDER = Path(__file__).parent / "records"
HEADER = ("seed", "steps", "episode_return", "first_ratio_error")


class Curve(NamedTuple):
    """One training, with an entry for each update.

    Attributes:
        steps: Environment steps so far.
        returns: Mean return of the last 100 episodes.
        ratio_errors: Largest distance of the ratio from 1 in the first minibatch.
    """

    steps: list[int]
    returns: list[float]
    ratio_errors: list[float]


def write(name: str, reports: Iterable[tuple[int, Progress]]) -> None:
    """Write the reports of a run, each with its seed, to four digits."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for seed, report in reports:
            numbers = (report.episode_return, report.first_ratio_error)
            writer.writerow([seed, report.steps, *(f"{number:.4g}" for number in numbers)])


def read(name: str) -> list[Curve]:
    """Read the curves of a run, one for each seed."""
    curves: dict[str, Curve] = {}
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            curve = curves.setdefault(row["seed"], Curve([], [], []))
            curve.steps.append(int(row["steps"]))
            curve.returns.append(float(row["episode_return"]))
            curve.ratio_errors.append(float(row["first_ratio_error"]))
    return list(curves.values())


def table(names: Iterable[str]) -> Iterator[str]:
    """Write a row for each run: its returns, and the largest distance of a first ratio from 1."""
    yield "| run | seeds | first return | last return | lowest | highest | first ratio off by |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name in names:
        curves = read(name)
        first, last = ([curve.returns[i] for curve in curves] for i in (0, -1))
        returns = (fmean(first), fmean(last), min(last), max(last))
        error = max(max(curve.ratio_errors) for curve in curves)
        cells = [name, str(len(curves)), *(f"{x:.3g}" for x in returns), f"{error:.1g}"]
        yield f"| {' | '.join(cells)} |"
