"""What stands between `nn.LSTM` and `evaluate_actions`: each part adds to the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from benchmarks.guard import Evaluate, unguarded
from benchmarks.workload import ACTIONS, FEATURES, HIDDEN, make_workload
from tamiyo_rl import EpisodePlan, EpisodicLSTM, HiddenState, LSTMPolicyBundle


def make_parts(rows: int, reset_rate: float) -> dict[str, Callable[[], None]]:
    """Return a forward and backward pass up to each part, on one minibatch."""
    work = make_workload(rows=rows, reset_rate=reset_rate, batch=rows)
    plan, actions = EpisodePlan(work.starts), {"action": work.actions}
    bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)
    hidden = HiddenState(*(part.clone() for part in bundle.initial_hidden(rows)))
    layout = plan.layout(bundle.device, learned=False)
    plain, wide = nn.LSTM(FEATURES, HIDDEN), nn.LSTM(FEATURES + 1, HIDDEN)
    steps = work.features.transpose(0, 1).contiguous()
    wider = nn.functional.pad(steps, (0, 1))
    in_lanes = torch.randn(len(layout.steps) // layout.lanes, layout.lanes, FEATURES + 1)

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
    return {name: _pass(part) for name, part in parts.items()}


def _pass(forward: Callable[[], tuple[torch.Tensor, ...]]) -> Callable[[], None]:
    def run() -> None:
        torch.stack([output.sum() for output in forward()]).sum().backward()

    return run
