"""`LSTMPolicyBundle`, guarded and checked, as a user calls it."""

from __future__ import annotations

import torch

from benchmarks.workload import (
    ACTIONS,
    EPOCHS,
    FEATURES,
    HIDDEN,
    LEARNING_RATE,
    Workload,
    descend,
    ppo_loss,
)
from tamiyo_rl import EpisodePlan, HiddenState, LSTMPolicyBundle


class Ours:
    """The update of the bundle."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)
        self.optimizer = torch.optim.Adam(self.bundle.parameters(), lr=LEARNING_RATE)
        self.hidden = self.bundle.initial_hidden(workload.batch).clone()

    def __call__(self) -> None:
        """Make one update."""
        plan = EpisodePlan(self.workload.starts)
        for _ in range(EPOCHS):
            for rows in self.workload.minibatches():
                self.minibatch(rows, plan)

    def minibatch(self, rows: torch.Tensor, plan: EpisodePlan) -> None:
        """Train on some rows."""
        result = self.bundle.evaluate_actions(
            self.workload.features[rows],
            {"action": self.workload.actions[rows]},
            hidden=HiddenState(*(part[:, rows] for part in self.hidden)),
            episode_starts=plan.rows(rows),
        )
        log_prob, entropy = result.joint_log_prob, result.joint_entropy
        descend(self.optimizer, ppo_loss(log_prob, entropy, result.value, self.workload, rows))
