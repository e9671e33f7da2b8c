"""Growth of time and peak memory with T, B and hidden size: `EpisodicLSTM` against `nn.LSTM`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from rich.console import Console
from torch import nn

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import EpisodePlan, EpisodicLSTM

BASE = {"time": 128, "batch": 16, "hidden": 128}
GRID = {
    "time": [32, 128, 512, 2048],
    "batch": [1, 4, 16, 64, 256],
    "hidden": [32, 128, 512, 1024],
}
RESET_RATE = 0.02


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time and measure the peak memory of both LSTMs along each axis."""
    cases = []
    for axis, size in sizes():
        seconds = median_times(make_passes(size), rounds=min(rounds, 3))
        memory = {name: peak_memory(name, size) for name in seconds}
        cases.append({"axis": axis, **size, "seconds": seconds, "megabytes": memory})
        show_times(console, f"{axis} = {size[axis]}", seconds)
    return {"cases": cases}


def sizes() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each axis with the sizes along it; the other axes are as in `BASE`."""
    for axis, values in GRID.items():
        for value in values:
            yield axis, BASE | {axis: value}


def make_passes(size: Mapping[str, int]) -> dict[str, Callable[[], None]]:
    """Return a forward and backward pass of each LSTM."""
    generator = torch.Generator().manual_seed(0)
    shape = (size["batch"], size["time"])
    inputs = torch.randn(*shape, w.FEATURES, generator=generator)
    starts = torch.rand(shape, generator=generator) < RESET_RATE
    raw = nn.LSTM(w.FEATURES, size["hidden"], batch_first=True)
    ours = EpisodicLSTM(w.FEATURES, size["hidden"], batch_first=True)
    return {
        "nn.LSTM": lambda: raw(inputs)[0].sum().backward(),
        "EpisodicLSTM": lambda: ours(inputs, None, EpisodePlan(starts))[0].sum().backward(),
    }


def peak_memory(name: str, size: Mapping[str, int]) -> float:
    """Measure how far one pass raises the peak of resident memory of a fresh process, in MB."""
    # The kernel keeps the peak of the parent over exec, so it is set back before the pass.
    code = (
        "import re; from pathlib import Path; from benchmarks.speed.scaling import make_passes;"
        f"run = make_passes({dict(size)!r})[{name!r}]; own = Path('/proc/self');"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', (own / 'status').read_text())[1]);"
        "(own / 'clear_refs').write_text('5'); before = peak(); run();"
        "print((peak() - before) / 1024)"
    )
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)  # noqa: S603 - our own code
    return float(finished.stdout)
