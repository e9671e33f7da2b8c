"""Train what the record does not hold yet, one process for each core, and write the page."""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from rich.console import Console

from benchmarks.ablation.labels import LABELS
from benchmarks.ablation.page import RECORD, TASKS, draw, write_page
from benchmarks.ablation.summary import summarise
from benchmarks.ablation.training import train
from benchmarks.machine import describe_machine
from tamiyo_rl.training.storage.files import replace_file

METHODS = tuple(LABELS)
SEEDS = tuple(range(5))
Key = tuple[str, str, int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the missing runs; to train all again, delete the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--variants", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; default: 1")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="default: 0 to 4")
    chosen = parser.parse_args(arguments)
    record: dict[str, Any] = {"environment": describe_machine(), "runs": []}
    if RECORD.exists():
        record = json.loads(RECORD.read_text("utf-8"))
    runs = missing(record["runs"], chosen.tasks, chosen.variants, chosen.seeds)
    for run in train_all(list(runs), chosen.jobs):
        record["runs"] = sorted([*record["runs"], run], key=place)
        replace_file(RECORD, dump(record).encode())
        Console().print(run, highlight=False)
    record["summary"] = summarise(record["runs"])
    replace_file(RECORD, dump(record).encode())
    write_page(record)
    draw(record)


def missing(
    runs: Iterable[dict[str, Any]],
    tasks: Sequence[str] = TASKS,
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = SEEDS,
) -> Iterator[Key]:
    """Yield the runs that the record does not hold: each method once before any a second time."""
    done = {(run["task"], run["variant"], run["seed"]) for run in runs}
    every = ((task, method, seed) for seed in seeds for task in tasks for method in methods)
    yield from (key for key in every if key not in done)


def train_all(keys: Sequence[Key], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield each run as it ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for future in as_completed([pool.submit(train, *key) for key in keys]):
            yield future.result()


def place(run: dict[str, Any]) -> tuple[int, int, int]:
    """Return where a run stands in the record."""
    return TASKS.index(run["task"]), METHODS.index(run["variant"]), run["seed"]


def dump(record: dict[str, Any]) -> str:
    """Write a record as JSON, a run in each line."""
    lines = ",\n  ".join(json.dumps(run) for run in record["runs"])
    others = {name: part for name, part in record.items() if name != "runs"}
    return f'{json.dumps(others)[:-1]},\n "runs": [\n  {lines}\n ]\n}}\n'


if __name__ == "__main__":
    main()
