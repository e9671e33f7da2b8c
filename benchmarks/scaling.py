"""How time and peak memory grow with T, B and hidden size: `EpisodicLSTM` against `nn.LSTM`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.workload import FEATURES
from tamiyo_rl import EpisodePlan, EpisodicLSTM

BASE = {"time": 128, "batch": 16, "hidden": 128}
GRID = {
    "time": [32, 128, 512, 2048],
    "batch": [1, 4, 16, 64, 256],
    "hidden": [32, 128, 512, 1024],
}
RESET_RATE = 0.02


def sizes() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each axis with the sizes along it, the others as in `BASE`."""
    for axis, values in GRID.items():
        for value in values:
            yield axis, BASE | {axis: value}


def make_passes(size: dict[str, int]) -> dict[str, Callable[[], None]]:
    """Return a forward and backward pass of each LSTM."""
    generator = torch.Generator().manual_seed(0)
    shape = (size["batch"], size["time"])
    inputs = torch.randn(*shape, FEATURES, generator=generator)
    starts = torch.rand(shape, generator=generator) < RESET_RATE
    raw = nn.LSTM(FEATURES, size["hidden"], batch_first=True)
    ours = EpisodicLSTM(FEATURES, size["hidden"], batch_first=True)
    return {
        "nn.LSTM": lambda: raw(inputs)[0].sum().backward(),
        "EpisodicLSTM": lambda: ours(inputs, None, EpisodePlan(starts))[0].sum().backward(),
    }
