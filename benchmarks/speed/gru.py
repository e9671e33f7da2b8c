"""A GRU with episode resets beside `nn.GRU` without, and two ways to reset it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from benchmarks.speed.update.by_hand import piece_lengths
from tamiyo_rl import EpisodePlan, EpisodicGRU

RESET_RATES = (0.02, 0.1)
Run = Callable[[], torch.Tensor]


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Measure the processor time of a forward and backward pass by every method."""
    cases = []
    for rows in w.ROWS:
        for rate in RESET_RATES:
            workload = w.make_workload(rows=rows, reset_rate=rate, batch=rows)
            methods = make_methods(workload)
            seconds = median_times(methods, rounds=5 * rounds, clock=time.process_time)
            cases.append({"rows": rows, "reset rate": rate, "seconds": seconds})
            show_times(console, f"{rows} rows, {rate:.0%} resets", seconds)
    return {"cases": cases}


def make_methods(workload: w.Workload) -> dict[str, Callable[[], object]]:
    """Return every method, with the same parameters."""
    gru = EpisodicGRU(w.FEATURES, w.HIDDEN, batch_first=True)
    plain = nn.GRU(w.FEATURES, w.HIDDEN, batch_first=True)
    plain.load_state_dict(gru.state_dict())
    features, starts = workload.features, workload.starts
    plan = EpisodePlan(starts)
    outputs: dict[str, Run] = {
        "EpisodicGRU": lambda: gru(features, episode_starts=plan)[0],
        "raw nn.GRU, no resets": lambda: plain(features)[0],
        "step loop": lambda: step_loop(plain, features, starts),
        "split and pad": lambda: split_and_pad(plain, features, starts),
    }
    return {name: with_backward(run) for name, run in outputs.items()}


def with_backward(run: Run) -> Callable[[], object]:
    """Return a call that also differentiates."""
    return lambda: run().square().mean().backward()


def step_loop(gru: nn.GRU, features: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Run one step at a time, with the state multiplied by `1 - start`."""
    h = features.new_zeros(1, features.shape[0], w.HIDDEN)
    outputs = []
    for step in range(features.shape[1]):
        keep = (~starts[:, step]).float()[None, :, None]
        output, h = gru(features[:, step : step + 1], h * keep)
        outputs.append(output)
    return torch.cat(outputs, dim=1)


def split_and_pad(gru: nn.GRU, features: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """Cut at each start, pad the pieces to the longest, one call, and undo it."""
    lengths = piece_lengths(starts)
    padded = pad_sequence(list(features.flatten(0, 1).split(lengths)), batch_first=True)
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    outputs: torch.Tensor = gru(padded)[0]
    return outputs[valid].view(*starts.shape, w.HIDDEN)
