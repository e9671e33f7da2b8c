"""Print what a run of the catalogue saw."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from tamiyo_rl.crossings import CATALOGUE, FAMILIES
from tamiyo_rl.crossings.verify import Result, summary


def with_progress(
    results: Iterator[Result], families: Sequence[str], console: Console
) -> list[Result]:
    """Collect results behind a progress bar."""
    chosen = families or FAMILIES
    total = sum(crossing.family in chosen for crossing in CATALOGUE.values())
    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} crossings"))
    with Progress(*columns, console=console, transient=True) as progress:
        return list(progress.track(results, total=total))


def print_results(results: Sequence[Result], device: str, console: Console) -> None:
    """Print a table for each family, the summary, and last what is not as expected."""
    for family in dict.fromkeys(result.crossing.family for result in results):
        console.print(_table(family, [r for r in results if r.crossing.family == family]))
    console.print(_summary(results))
    console.print(
        f"torch {torch.__version__}, Python {platform.python_version()}, device {device}",
        highlight=False,
    )
    failing = [result for result in results if not result.holds]
    if failing:
        console.print(f"\n{len(failing)} of {len(results)} crossings are not as expected:")
    for result in failing:
        console.print(_difference(result), highlight=False, markup=False, soft_wrap=True)


def _difference(result: Result) -> str:
    """Return the id, and below it what was expected and seen, in lines that are not folded."""
    crossing = result.crossing
    seen = result.observation
    lines = [
        crossing.id,
        f"  expected: {_outcome(crossing.expected, crossing.noticed_by)}",
        f"  seen: {_outcome(seen.seen, seen.noticed_by)}",
    ]
    if result.false_alarm:
        lines.append("  a tool accused what is correct")
    if seen.error:
        lines.append(f"  error: {seen.error}")
    return "\n".join(lines)


def _outcome(outcome: str, tools: Iterable[str]) -> str:
    return f"{outcome}, noticed by {', '.join(sorted(tools)) or 'no tool'}"


def _table(family: str, results: Sequence[Result]) -> Table:
    table = Table(title=family, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("crossing", no_wrap=True)
    for column in ("verdict", "expected", "seen", "noticed by"):
        table.add_column(column, overflow="fold")
    table.add_column("", no_wrap=True)
    for result in results:
        crossing = result.crossing
        seen = result.observation
        table.add_row(
            crossing.id.partition(".")[2],
            crossing.verdict,
            crossing.expected,
            seen.seen,
            ", ".join(seen.noticed_by) or ("impossible by design" if crossing.instead else ""),
            "ok" if result.holds else "FAILED",
            style=None if result.holds else "bold red",
        )
    return table


def _summary(results: Sequence[Result]) -> Table:
    counts = summary(results)
    title = f"{counts.pop('as expected')} of {counts.pop('crossings')} crossings as expected"
    table = Table(title=title, title_justify="left")
    table.add_column("noticed")
    for column in next(iter(counts.values())):
        table.add_column(column, justify="right")
    for name, row in counts.items():
        table.add_row(name, *(str(count) for count in row.values()))
    return table
