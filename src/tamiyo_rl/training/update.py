"""Training on a rollout: epochs of minibatches, one step of the optimizer for each."""

from __future__ import annotations

import torch

from tamiyo_rl.contract.audit import audit_gradients
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.training.ppo_config import PPOConfig
from tamiyo_rl.training.ppo_loss import PPOLoss, ppo_loss
from tamiyo_rl.training.rollout_buffer import RolloutBatch, RolloutBuffer


class PPOUpdater:
    """Trains a policy on one rollout after the other, and audits the first loss.

    Args:
        bundle: The policy.
        config: Settings.
    """

    def __init__(self, bundle: PolicyBundle, config: PPOConfig) -> None:
        self.bundle, self.config = bundle, config
        self.optimizer = torch.optim.Adam(bundle.parameters(), lr=config.learning_rate, eps=1e-5)
        self._audited = False

    def update(self, buffer: RolloutBuffer, remaining: float) -> list[PPOLoss]:
        """Train on the buffer, and return the loss of each minibatch.

        Args:
            buffer: A finished rollout.
            remaining: Share of the training that is left; scales learning rate and clip range.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * remaining
        return [
            self._train_minibatch(batch, self.config.clip_range * remaining)
            for _ in range(self.config.epochs)
            for batch in buffer.minibatches(self.config.num_minibatches)
        ]

    def _train_minibatch(self, batch: RolloutBatch, clip_range: float) -> PPOLoss:
        evaluation = self.bundle.evaluate_actions(
            batch.features,
            batch.actions,
            batch.masks,
            batch.hidden,
            episode_starts=batch.episode_starts,
        )
        loss = ppo_loss(evaluation, batch, clip_range)
        self._audit_once(loss, batch)
        self._descend(loss)
        return loss

    def _descend(self, loss: PPOLoss) -> None:
        value, entropy = self.config.value_coef, self.config.entropy_coef
        self.optimizer.zero_grad(set_to_none=True)
        (loss.policy + value * loss.value - entropy * loss.entropy).backward()
        torch.nn.utils.clip_grad_norm_(self.bundle.parameters(), self.config.max_grad_norm)
        self.optimizer.step()

    def _audit_once(self, loss: PPOLoss, batch: RolloutBatch) -> None:
        """Audit the first loss whose rows start an episode: only those use the initial state."""
        if self._audited or not batch.episode_starts.episode_starts.any():
            return
        terms = {"policy": loss.policy, "value": loss.value, "entropy": loss.entropy}
        audit_gradients(terms, self.bundle, optimizer=self.optimizer).raise_if_broken()
        self._audited = True
