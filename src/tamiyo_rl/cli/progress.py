"""The progress of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.ppo.trainer import RecurrentPPO

LINES = 20


def say(console: Console, line: str) -> None:
    """Print a line as it is: unbroken and without colours, for people and for programs."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def show_progress(
    console: Console, trainer: RecurrentPPO
) -> Iterator[Callable[[UpdateReport], None]]:
    """Yield what shows a report: in a bar, or in a line for each twentieth part of the training."""
    steps = TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps")
    columns = (BarColumn(), steps, TextColumn("{task.fields[figures]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        total = trainer.total_steps
        task = bar.add_task("train", total=total, completed=trainer.steps, figures="")
        evaluated = ""

        def show(report: UpdateReport) -> None:
            nonlocal evaluated
            evaluated = describe_evaluation(report.evaluation_return) or evaluated
            figures = f"{describe_return(report.episode_return)}{evaluated}"
            figures += f", {report.fps:,.0f} steps/s"
            part = total / LINES
            is_due = report.steps // part > bar.tasks[0].completed // part or report.steps == total
            bar.update(task, completed=report.steps, figures=figures)
            if bar.disable and is_due:
                say(console, f"{report.steps:,}/{total:,} steps, {figures}")

        yield show


def describe_return(episode_return: float) -> str:
    """Describe the mean return of the training's episodes; before the first has ended it is NaN."""
    if math.isnan(episode_return):
        return "no episode has ended yet"
    return f"return {episode_return:.1f} with sampled actions"


def describe_evaluation(mean: float | None) -> str:
    """Describe the mean return of an evaluation; there may have been none."""
    if mean is None or math.isnan(mean):
        return ""
    return f", {mean:.1f} with the most probable ones"
