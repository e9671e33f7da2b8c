"""How far a training is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Protocol, Self

from rich import progress as rich_progress
from rich.console import Console
from rich.text import Text

from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.ppo.trainer import RecurrentPPO

LINES = 20


def say(console: Console, line: str) -> None:
    """Print a line as it is: unbroken and without colours, for people and for programs."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def describe_return(episode_return: float) -> str:
    """Describe the mean return of the episodes that ended; before the first one it is NaN."""
    if math.isnan(episode_return):
        return "no episode has ended yet"
    return f"return {episode_return:.1f}"


class Progress(Protocol):
    """Shows reports while it is entered."""

    def show(self, report: UpdateReport) -> None:
        """Show one report."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""


def make_progress(console: Console, trainer: RecurrentPPO) -> Progress:
    """Make a bar where the console is a terminal, else plain lines."""
    shown = ProgressBar if console.is_terminal else ProgressLines
    return shown(console, trainer.steps, trainer.total_steps)


class ProgressLines:
    """Prints a line for every twentieth part of the training.

    Args:
        console: Where to.
        done: Steps that are done before.
        total: Steps of the whole training.
    """

    def __init__(self, console: Console, done: int, total: int) -> None:
        self._console, self._total = console, total
        self._begun, self._done, self._printed = time.perf_counter(), done, done

    def show(self, report: UpdateReport) -> None:
        """Print a line where a twentieth part has been done since the last one."""
        part = self._total / LINES
        if report.steps // part == self._printed // part and report.steps < self._total:
            return
        self._printed = report.steps
        speed = (report.steps - self._done) / (time.perf_counter() - self._begun)
        say(
            self._console,
            f"{report.steps:,}/{self._total:,} steps, {describe_return(report.episode_return)}, "
            f"{speed:,.0f} steps/s",
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""


class StepsPerSecond(rich_progress.ProgressColumn):
    """Shows the environment steps per second."""

    def render(self, task: rich_progress.Task) -> Text:
        """Return the speed, 0 before the first update."""
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} steps/s")


class ProgressBar:
    """Draws a bar with the steps, the return, the steps per second and the time left.

    Args:
        console: Where to.
        done: Steps that are done before.
        total: Steps of the whole training.
    """

    def __init__(self, console: Console, done: int, total: int) -> None:
        self._bar = rich_progress.Progress(
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
            rich_progress.TextColumn("{task.fields[episodes]}"),
            StepsPerSecond(),
            rich_progress.TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("train", total=total, completed=done, episodes="")

    def show(self, report: UpdateReport) -> None:
        """Move the bar on."""
        episodes = describe_return(report.episode_return)
        self._bar.update(self._task, completed=report.steps, episodes=episodes)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and leave the bar as it stands."""
        self._bar.stop()
