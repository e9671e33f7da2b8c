"""Run the suites of speed, record the results, and write the page and the figures of the site."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.machine import describe_machine
from benchmarks.speed import SUITES, figures
from benchmarks.speed.report import write_page

RECORD = Path("benchmarks/results.json")
PAGE = Path("docs/reference/benchmarks.md")


def main() -> None:
    """Run the named suites, or all of them, and keep the results of the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"any of {', '.join(SUITES)}; default: all")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    options = parser.parse_args()
    if set(options.suites) - set(SUITES) or min(options.rounds, options.threads) < 1:
        parser.error(f"expected suites of {list(SUITES)}, rounds and threads of at least 1")
    torch.set_num_threads(options.threads)
    console = Console()
    for name in options.suites or SUITES:
        run_suite(name, options.rounds, console)
    results = json.loads(RECORD.read_text("utf-8"))
    write_page(results, PAGE)
    figures.draw_all(results["update"])


def run_suite(name: str, rounds: int, console: Console) -> None:
    """Run a suite, and put its results into the record."""
    console.rule(name)
    suite = import_module(f"benchmarks.speed.{name}")
    results = json.loads(RECORD.read_text("utf-8"))
    threads = torch.get_num_threads()
    key = name if threads == 1 else f"{name}, {threads} threads"
    results[key] = {"environment": describe_machine(), **suite.run(rounds, console)}
    RECORD.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
