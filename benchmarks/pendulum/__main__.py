"""Train what the record does not hold yet, with one thread, and write the page of the site."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.pendulum.page import RECORD, write_page
from benchmarks.pendulum.settings import SEEDS
from benchmarks.pendulum.training import TRAININGS


def main() -> None:
    """Train the missing runs; to train all again, delete the record."""
    torch.set_num_threads(1)
    console = Console()
    record: dict[str, Any] = {"environment": describe_machine(), "runs": []}
    if RECORD.exists():
        record = json.loads(RECORD.read_text("utf-8"))
    for who, seed in missing(record["runs"]):
        run = {"who": who, "seed": seed, **figures(*TRAININGS[who](seed))}
        record["runs"].append(run)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        console.print(f"{who} seed {seed}: {run['mean']} in {run['cpu_seconds']} s")
    write_page(record)


def missing(runs: list[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield the runs that the record does not hold."""
    done = {(run["who"], run["seed"]) for run in runs}
    for who, seeds in SEEDS.items():
        yield from ((who, seed) for seed in seeds if (who, seed) not in done)


def figures(steps: int, seconds: float, returns: ArrayLike) -> dict[str, float]:
    """Return what goes on record of a training: its mean return, and the error of the mean."""
    values = np.asarray(returns)
    return {
        "steps": steps,
        "cpu_seconds": round(seconds),
        "mean": round(float(values.mean()), 1),
        "standard_error": round(float(values.std(ddof=1) / np.sqrt(len(values))), 1),
    }


if __name__ == "__main__":
    main()
