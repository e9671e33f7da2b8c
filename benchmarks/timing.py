"""Times of several methods, in interleaved rounds, so that a change of load meets all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def median_times(methods: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Time every method once a round, in turn, and return the median seconds of each.

    What is timed follows a call of the same method, so that none pays for what another one left
    in the processor's caches and in the allocator.

    Args:
        methods: What to time, by name.
        rounds: How often each is timed.
    """
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            method()
            begin = time.perf_counter()
            method()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in times.items()}
