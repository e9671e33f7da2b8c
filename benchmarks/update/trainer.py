"""The update of `RecurrentPPO`: from the buffer, with its checks and diagnostics."""

from __future__ import annotations

import torch

from benchmarks.workload import ACTIONS, EPOCHS, FEATURES, HIDDEN, Workload
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RolloutBuffer
from tamiyo_rl.training.update import PPOUpdater


class Trainer:
    """The trainer's update on a rollout that its own policy made of the workload's features."""

    def __init__(self, workload: Workload) -> None:
        self.bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)
        batch, time = workload.starts.shape
        self.buffer = RolloutBuffer(self.bundle, batch, time)
        self._fill(workload)
        # The trainer requires that each update begins with the policy that made the rollout.
        config = PPOConfig(
            learning_rate=1e-12, epochs=EPOCHS, num_minibatches=batch // workload.rows
        )
        self.updater = PPOUpdater(self.bundle, config)

    def __call__(self) -> None:
        """Make one update."""
        self.updater.update(self.buffer, remaining=1.0)

    def _fill(self, workload: Workload) -> None:
        hidden = self.bundle.initial_hidden(workload.batch)
        never = torch.zeros(workload.batch, dtype=torch.bool)
        ends = [*workload.starts.unbind(1)[1:], never]
        for features, starts, ended in zip(
            workload.features.unbind(1), workload.starts.unbind(1), ends, strict=True
        ):
            result = self.bundle.get_action(features, hidden=hidden, episode_starts=starts)
            self.buffer.add(
                features,
                result,
                hidden=hidden,
                episode_starts=starts,
                rewards=torch.randn(workload.batch),
                terminated=ended,
                truncated=never,
            )
            hidden = result.hidden
        self.buffer.finish(torch.zeros(workload.batch), gamma=0.99, gae_lambda=0.95)
