"""Train the named runs, or all of them, with several seeds each, and draw the figures."""

from __future__ import annotations

import argparse

import torch
from rich.console import Console

from benchmarks.curves import figures, records
from benchmarks.curves.runs import RUNS


def main() -> None:
    """Train with one thread, and keep the records of the other runs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("runs", nargs="*", help=f"any of {', '.join(RUNS)}; default: all")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each run")
    options = parser.parse_args()
    unknown = set(options.runs) - set(RUNS)
    if unknown or options.seeds < 1:
        parser.error(f"expected runs of {list(RUNS)}, and at least 1 seed")
    torch.set_num_threads(1)
    console = Console()
    for name in options.runs or RUNS:
        console.print(f"training {name}, {options.seeds} seeds", highlight=False)
        train, policy = RUNS[name]
        reports = ((seed, r) for seed in range(options.seeds) for r in train(policy, seed))
        records.write(name, reports)
    figures.draw_all()


if __name__ == "__main__":
    main()
