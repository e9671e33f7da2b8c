"""Tables of the record as Markdown, with the methods as rows so that they fit the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any

Case = Mapping[str, Any]
MEASURES = {"seconds", "megabytes"}


def make_tables(cases: Sequence[Case]) -> Iterator[str]:
    """Write a table of times for each value of the first setting, a column for each case.

    In brackets stands the ratio to the first method of the column.
    """
    settings = [name for name in cases[0] if name not in MEASURES]
    first = settings[0] if len(settings) > 1 else None
    for value, group in groupby(cases, lambda case: case[first] if first else ""):
        title = f"{_label(first, value)}, ms" if first else "ms"
        yield from _make_table(title, list(group), settings[1:] if first else settings)


def make_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table of Markdown, numbers to the right of their columns."""
    yield f"| {' | '.join(header)} |"
    yield f"| --- |{' ---: |' * (len(header) - 1)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def make_outcomes(cases: Sequence[Case]) -> Iterator[str]:
    """Write a table of trainings for each task, a row for each method over its seeds."""
    for task in dict.fromkeys(case["task"] for case in cases):
        rows = []
        for method in dict.fromkeys(case["method"] for case in cases):
            runs = [c for c in cases if (c["task"], c["method"]) == (task, method)]
            rows.append([method, *_outcome(runs)])
        header = [task, "solved", "steps", "seconds", "processor, s"]
        yield from make_table(header, rows)


def median_of_solved(runs: Sequence[Case], key: str) -> float:
    """Return the median over the runs that solved the task, or over all if none did."""
    solved = [run for run in runs if run["solved"]]
    return float(median(run[key] for run in solved or runs))


def _make_table(title: str, cases: list[Case], settings: list[str]) -> Iterator[str]:
    varied = [name for name in settings if len({case[name] for case in cases}) > 1]
    columns = [", ".join(_label(name, case[name]) for name in varied) for case in cases]
    rows = [
        [method, *(_time(case["seconds"], method) for case in cases)]
        for method in cases[0]["seconds"]
    ]
    rows += [
        [f"{method}, MB", *(f"{case['megabytes'][method]:.3g}" for case in cases)]
        for method in cases[0].get("megabytes", {})
    ]
    header = [title, *columns] if varied else ["method", title]
    yield from make_table(header, rows)


def _outcome(runs: Sequence[Case]) -> Iterator[str]:
    yield f"{sum(run['solved'] for run in runs)} of {len(runs)}"
    for key in ("steps", "seconds", "processor_seconds"):
        yield f"{median_of_solved(runs, key):,.0f}"


def _time(seconds: Mapping[str, float], method: str) -> str:
    ratio = seconds[method] / next(iter(seconds.values()))
    return f"{seconds[method] * 1e3:.4g} ({ratio:.2f})"


def _label(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{name} {value:.0%}" if isinstance(value, float) else f"{name} {value}"
