"""Cost of the watch: training steps of a small LSTM, watched and not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from rich.console import Console
from torch import nn

from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import watch_training

STEPS = 50


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time fifty steps by each method."""
    seconds = median_times(make_trainings(), rounds=3 * rounds)
    show_times(console, f"{STEPS} training steps, 16 x 64", seconds)
    return {"cases": [{"seconds": seconds}]}


def make_trainings() -> dict[str, Callable[[], object]]:
    """Return the same training without the watch and with it; twice without, to show the noise."""
    module = nn.ModuleDict({"core": nn.LSTM(32, 64, batch_first=True), "policy": nn.Linear(64, 4)})
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    features = torch.randn(16, 64, 32)

    def train(around: AbstractContextManager[object]) -> None:
        with around:
            for _ in range(STEPS):
                outputs, _ = module["core"](features)
                logits = module["policy"](outputs).log_softmax(dim=-1)
                optimizer.zero_grad()
                (logits[..., 0].mean() + 0.01 * logits.square().mean()).backward()
                optimizer.step()

    return {
        "unwatched": lambda: train(nullcontext()),
        "watched": lambda: train(watch_training(module)),
        "unwatched again": lambda: train(nullcontext()),
    }
