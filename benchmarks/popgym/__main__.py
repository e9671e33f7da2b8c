"""Train what the record does not hold yet, with one thread, and write the page of the site."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.popgym.page import RECORD, write_page
from benchmarks.popgym.settings import SEEDS, TASKS
from benchmarks.popgym.training import train


def main() -> None:
    """Train the missing runs; to train all again, delete the record."""
    torch.set_num_threads(1)
    console = Console()
    record: dict[str, Any] = {"environment": describe_machine(), "runs": []}
    if RECORD.exists():
        record = json.loads(RECORD.read_text("utf-8"))
    for task, seed in missing(record["runs"]):
        run = train(task, seed)
        record["runs"].append(run)
        RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        console.print(f"{task} seed {seed}: {run['final']:.3f} in {run['cpu_seconds']:.0f} s")
    write_page(record)


def missing(runs: list[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield the runs that the record does not hold."""
    done = {(run["task"], run["seed"]) for run in runs}
    for task in TASKS:
        yield from ((task, seed) for seed in SEEDS if (task, seed) not in done)


if __name__ == "__main__":
    main()
