"""Steps from `nn.LSTM` to `evaluate_actions`: each part adds to the part before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from rich.console import Console
from torch import nn

from benchmarks.speed import workload as w
from benchmarks.speed.guard import Evaluate, unguarded
from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import EpisodePlan, EpisodicLSTM, LSTMPolicyBundle


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time each part on minibatches of two sizes and two reset rates."""
    cases = []
    for rows in w.ROWS:
        for rate in w.RESET_RATES[1:3]:
            seconds = median_times(make_parts(rows, rate), rounds=20 * rounds)
            cases.append({"rows": rows, "reset rate": rate, "seconds": seconds})
            show_times(console, f"{rows} rows, {rate:.0%} resets", seconds)
    return {"cases": cases}


def make_parts(rows: int, reset_rate: float) -> dict[str, Callable[[], None]]:
    """Return a forward and backward pass up to each part, on one minibatch."""
    work = w.make_workload(rows=rows, reset_rate=reset_rate, batch=rows)
    plan = EpisodePlan(work.starts)
    actions = {"action": work.actions}
    bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)
    hidden = bundle.initial_hidden(rows).clone()
    layout = plan.layout(bundle.device, learned=False)
    plain = nn.LSTM(w.FEATURES, w.HIDDEN)
    wide = nn.LSTM(w.FEATURES + 1, w.HIDDEN)
    steps = work.features.transpose(0, 1).contiguous()
    wider = nn.functional.pad(steps, (0, 1))
    in_lanes = torch.randn(len(layout.steps) // layout.lanes, layout.lanes, w.FEATURES + 1)

    def evaluation(method: Evaluate) -> tuple[torch.Tensor, ...]:
        result = method(bundle, work.features, actions, hidden=hidden, episode_starts=plan)
        return result.joint_log_prob, result.joint_entropy, result.value

    network = bundle.network
    core = cast("EpisodicLSTM", network.core)
    parts: dict[str, Callable[[], tuple[torch.Tensor, ...]]] = {
        "nn.LSTM, no resets": lambda: plain(steps)[:1],
        "one more feature": lambda: wide(wider)[:1],
        "in the shape of the lanes": lambda: wide(in_lanes)[:1],
        "EpisodicLSTM": lambda: core.forward_in_lanes(work.features, hidden, plan)[:1],
        "with heads": lambda: network(work.features, hidden, plan)[:2],
        "checked": lambda: evaluation(unguarded),
        "guarded": lambda: evaluation(LSTMPolicyBundle.evaluate_actions),
    }
    return {name: _with_backward(part) for name, part in parts.items()}


def _with_backward(forward: Callable[[], tuple[torch.Tensor, ...]]) -> Callable[[], None]:
    def run() -> None:
        torch.stack([output.sum() for output in forward()]).sum().backward()

    return run
