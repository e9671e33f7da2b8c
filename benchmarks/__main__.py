"""Run the suites, and write the results as JSON and as the table that the site shows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from benchmarks.report import environment, write_page
from benchmarks.suites import SUITES

RECORD = Path("benchmarks/results.json")
PAGE = Path("docs/reference/benchmarks.md")


def main() -> None:
    """Run the suites that were named, or all; results of the others are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown or options.rounds < 1:
        parser.error(f"expected suites of {list(SUITES)} and at least 1 round, got {unknown}")
    results = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    console = Console()
    for name in options.suites or SUITES:
        console.rule(name)
        results[name] = {"environment": environment(), **SUITES[name](options.rounds, console)}
        RECORD.write_text(json.dumps(results, indent=1) + "\n")
    write_page(results, PAGE)


main()
