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

STEPS = (50, 500)  # the watch looks at the terms of the loss in the first four only


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time so many steps by each method."""
    cases = []
    for steps in STEPS:
        seconds = median_times(make_trainings(steps), rounds=3 * rounds)
        show_times(console, f"{steps} training steps, 16 x 64", seconds)
        cases.append({"steps": steps, "seconds": seconds})
    return {"cases": cases}


def make_trainings(steps: int) -> dict[str, Callable[[], object]]:
    """Return the same training without the watch and with it; twice without, to show the noise."""
    module = nn.ModuleDict({"core": nn.LSTM(32, 64, batch_first=True), "policy": nn.Linear(64, 4)})
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    features = torch.randn(16, 64, 32)

    def train(around: AbstractContextManager[object]) -> None:
        with around:
            for _ in range(steps):
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
