"""What `torch.compile` brings: the training call and the rollout call, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.workload import ACTIONS, FEATURES, HIDDEN, make_workload
from tamiyo_rl import EpisodePlan, LSTMPolicyBundle


def make_eager_and_compiled() -> dict[str, Callable[[], object]]:
    """Return both calls of the same policy, with an encoder, before and after compilation."""
    eager, compiled = _make_bundle(), _make_bundle()
    compiled.compile()
    work = make_workload(rows=16, reset_rate=0.02)
    actions, plan = {"action": work.actions}, EpisodePlan(work.starts)

    def train(bundle: LSTMPolicyBundle) -> torch.Tensor:
        result = bundle.evaluate_actions(work.features, actions, episode_starts=plan)
        (result.joint_log_prob.mean() + result.value.mean()).backward()
        return result.value

    torch.testing.assert_close(train(compiled), train(eager))
    return {
        "training call": lambda: train(eager),
        "training call, compiled": lambda: train(compiled),
        "rollout call": lambda: eager.get_action(work.features[:, 0]),
        "rollout call, compiled": lambda: compiled.get_action(work.features[:, 0]),
    }


def _make_bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    layers = (nn.Linear(FEATURES, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU())
    encoder = nn.Sequential(*layers)
    return LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN, encoder=encoder)
