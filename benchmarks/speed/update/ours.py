"""`LSTMPolicyBundle`, guarded and checked, as a user calls it, and only its network."""

from __future__ import annotations

import torch

from benchmarks.speed import workload as w
from tamiyo_rl import EpisodePlan, HiddenState, LSTMPolicyBundle


class Ours:
    """The update of the bundle."""

    def __init__(self, workload: w.Workload) -> None:
        self.workload = workload
        self.bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)
        self.optimizer = torch.optim.Adam(self.bundle.parameters(), lr=w.LEARNING_RATE)
        self.hidden = self.bundle.initial_hidden(workload.batch).clone()

    def __call__(self) -> None:
        """Make one update."""
        epochs = (self.workload.minibatches() for _ in range(w.EPOCHS))
        # In order: all rows in one minibatch are then planned once.
        parts = [rows.sort().values for epoch in epochs for rows in epoch]
        plan = EpisodePlan(self.workload.starts)
        plans = plan.split(parts)
        for rows, plan_of_rows in zip(parts, plans, strict=True):
            self.minibatch(rows, plan_of_rows)

    def minibatch(self, rows: torch.Tensor, plan: EpisodePlan) -> None:
        """Train on some rows, with their plan."""
        result = self.bundle.evaluate_actions(
            self.workload.features[rows],
            {"action": self.workload.actions[rows]},
            hidden=HiddenState(*(part[:, rows] for part in self.hidden)),
            episode_starts=plan,
        )
        log_prob = result.joint_log_prob
        entropy = result.joint_entropy
        w.descend(self.optimizer, w.ppo_loss(log_prob, entropy, result.value, self.workload, rows))


class NetworkAlone(Ours):
    """The update of the network without the bundle: no guard and no checks."""

    def minibatch(self, rows: torch.Tensor, plan: EpisodePlan) -> None:
        """Train on some rows, with their plan."""
        hidden = HiddenState(*(part[:, rows] for part in self.hidden))
        logits, value, _ = self.bundle.network(self.workload.features[rows], hidden, plan)
        log_prob, entropy = w.categorical(logits, self.workload.actions[rows])
        w.descend(self.optimizer, w.ppo_loss(log_prob, entropy, value, self.workload, rows))
