"""Effect of `torch.compile` on the training call and on the rollout call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from torch import nn

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import EpisodePlan, LSTMPolicyBundle


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time both calls, eager and compiled."""
    cases = []
    for call, methods in make_calls().items():
        seconds = median_times(methods, rounds=20 * rounds)
        cases.append({"call": call, "seconds": seconds})
        show_times(console, call, seconds)
    return {"cases": cases}


def make_calls() -> dict[str, dict[str, Callable[[], object]]]:
    """Return both calls of the same policy, with an encoder, before and after compilation."""
    eager = _make_bundle()
    compiled = _make_bundle()
    compiled.compile()
    work = w.make_workload(rows=16, reset_rate=0.02)
    actions = {"action": work.actions}
    plan = EpisodePlan(work.starts)

    def train(bundle: LSTMPolicyBundle) -> torch.Tensor:
        result = bundle.evaluate_actions(work.features, actions, episode_starts=plan)
        (result.joint_log_prob.mean() + result.value.mean()).backward()
        return result.value

    torch.testing.assert_close(train(compiled), train(eager))
    return {
        "training call": {
            "eager": lambda: train(eager),
            "compiled": lambda: train(compiled),
        },
        "rollout call": {
            "eager": lambda: eager.get_action(work.features[:, 0]),
            "compiled": lambda: compiled.get_action(work.features[:, 0]),
        },
    }


def _make_bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    layers = (nn.Linear(w.FEATURES, w.HIDDEN), nn.GELU(), nn.Linear(w.HIDDEN, w.HIDDEN), nn.GELU())
    encoder = nn.Sequential(*layers)
    return LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN, encoder=encoder)
