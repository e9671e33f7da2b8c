"""The update of `RecurrentPPO`: from the buffer, with its checks and diagnostics."""

from __future__ import annotations

import torch

from benchmarks.speed import workload as w
from benchmarks.speed.table_env import TableEnv
from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO


class Trainer:
    """The trainer's update on a rollout that its own policy made of the workload's features."""

    def __init__(self, workload: w.Workload) -> None:
        config = PPOConfig(
            num_steps=w.STEPS,
            sequence_length=w.STEPS,
            epochs=w.EPOCHS,
            num_minibatches=workload.batch // workload.rows,
            # The trainer requires that each update begins with the policy that made the rollout.
            learning_rate=1e-12,
        )
        self.bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)
        self.trainer = RecurrentPPO(TableEnv(), self.bundle, config)
        self._fill(workload)

    def __call__(self) -> None:
        """Make one update."""
        self.trainer.updater.update(self.trainer.buffer, remaining=1.0)

    def _fill(self, workload: w.Workload) -> None:
        hidden = self.bundle.initial_hidden(workload.batch)
        never = torch.zeros(workload.batch, dtype=torch.bool)
        ends = [*workload.starts.unbind(1)[1:], never]
        for features, starts, ended in zip(
            workload.features.unbind(1), workload.starts.unbind(1), ends, strict=True
        ):
            result = self.bundle.get_action(features, hidden=hidden, episode_starts=starts)
            self.trainer.buffer.add(
                features,
                result,
                hidden=hidden,
                episode_starts=starts,
                rewards=torch.randn(workload.batch),
                terminated=ended,
                truncated=never,
            )
            hidden = result.hidden
        self.trainer.buffer.finish(torch.zeros(workload.batch), gamma=0.99, gae_lambda=0.95)
