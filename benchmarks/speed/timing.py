"""Times of several methods in alternating rounds, so that a change of load meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console


def median_times(
    methods: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time every method once a round, in turn, and return the median seconds of each.

    Each timed call follows an untimed call of the same method, so that no method pays for what
    another one left in the processor's caches and in the allocator.

    Args:
        methods: The methods to time, by name.
        rounds: Number of timed calls of each method.
        clock: Wall time; `time.process_time` for the processor time of this process.
    """
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            method()
            begin = clock()
            method()
            times[name].append(clock() - begin)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def show_times(console: Console, title: str, seconds: Mapping[str, float]) -> None:
    """Print the times, each also as a multiple of the first."""
    first = next(iter(seconds.values()))
    console.print(f"[bold]{title}")
    for name, value in seconds.items():
        console.print(
            f"  {name:28} {value * 1e3:10.4g} ms  {value / first:6.2f} x", highlight=False
        )
