"""Medians of the runs with their intervals, by rliable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rliable import library

RESAMPLES = 2_000


def summarise(runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[int]]]:
    """Return median steps and the ends of their 95 % interval, by task and variant.

    The intervals are stratified bootstraps (Agarwal et al. 2021, arXiv:2108.13264). A run that did
    not solve its task counts with the steps of the whole training.
    """
    steps: dict[str, dict[str, list[int]]] = {}
    for run in runs:
        steps.setdefault(run["task"], {}).setdefault(run["variant"], []).append(run["steps"])
    return {task: _intervals(by_variant) for task, by_variant in steps.items()}


def _intervals(by_variant: Mapping[str, list[int]]) -> dict[str, list[int]]:
    scores = {name: np.array(steps, dtype=float)[:, None] for name, steps in by_variant.items()}
    random = np.random.RandomState(0)
    medians, ends = library.get_interval_estimates(
        scores, _median, reps=RESAMPLES, random_state=random
    )
    return {name: [int(medians[name][0]), *map(int, ends[name][:, 0])] for name in scores}


def _median(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.median(scores)])
