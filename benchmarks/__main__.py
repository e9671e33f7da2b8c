"""Run the suites, and write the results as JSON and as the table that the site shows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.figure import draw
from benchmarks.report import environment, write_page
from benchmarks.suites import SUITES

RECORD = Path("benchmarks/results.json")
PAGE = Path("docs/reference/benchmarks.md")


def main() -> None:
    """Run the suites that were named, or all; results of the others are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown or min(options.rounds, options.threads) < 1:
        parser.error(f"expected suites of {list(SUITES)}, rounds and threads of at least 1")
    torch.set_num_threads(options.threads)
    results = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    console = Console()
    for name in options.suites or SUITES:
        console.rule(name)
        key = name if options.threads == 1 else f"{name}, {options.threads} threads"
        results[key] = {"environment": environment(), **SUITES[name](options.rounds, console)}
        RECORD.write_text(json.dumps(results, indent=1) + "\n")
    write_page(results, PAGE)
    draw(results["update"])


main()
