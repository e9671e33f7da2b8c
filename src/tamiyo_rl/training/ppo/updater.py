"""Training on a rollout: epochs of minibatches, one step of the optimizer for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from tamiyo_rl.contract.audit import audit_backward, audit_gradients
from tamiyo_rl.contract.consistency import check_consistency, check_ratio
from tamiyo_rl.contract.guard import ContractError
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.policy.results import EvalResult
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.distributed import largest_of_processes, mean_over_processes
from tamiyo_rl.training.ppo.diagnostics import GradientNorms
from tamiyo_rl.training.ppo.loss import PPOLoss, ppo_loss
from tamiyo_rl.training.rollout.buffer import RolloutBatch, RolloutBuffer

AUTOCAST_TOLERANCE = 0.1


class UpdateResult(NamedTuple):
    """What the minibatches of an update gave.

    Attributes:
        loss: Mean of each term over the minibatches.
        first_ratio_error: Largest distance of the ratio from 1 in the first minibatch.
        gradient_norms: Mean norm of the gradient of each part.
        learning_rate: Of this update.
        clip_range: Of this update.
    """

    loss: PPOLoss
    first_ratio_error: float
    gradient_norms: dict[str, float]
    learning_rate: float
    clip_range: float


class PPOUpdater:
    """Trains a policy on one rollout after the other, and stops where an invariant breaks.

    The loss is audited once (`audit_gradients`). The first minibatch of each update must give the
    rollout's log-probabilities and values (`check_consistency`) and a ratio of 1 (`check_ratio`).
    A loss or gradient that is not finite never reaches the parameters.

    Args:
        bundle: The policy.
        config: Settings.
    """

    def __init__(self, bundle: PolicyBundle, config: PPOConfig) -> None:
        self.bundle = bundle
        self.config = config
        self.optimizer = torch.optim.Adam(bundle.parameters(), lr=config.learning_rate, fused=True)
        self._norms = GradientNorms(bundle)
        self._audited = False

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer, and whether the loss was audited."""
        return {"optimizer": self.optimizer.state_dict(), "audited": self._audited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._audited = bool(state["audited"])

    def update(self, buffer: RolloutBuffer, remaining: float) -> UpdateResult:
        """Train on the buffer.

        Args:
            buffer: A finished rollout.
            remaining: Share of the training that is left, on which the rates depend.

        Raises:
            ContractError: If an invariant breaks, saying which.
        """
        learning_rate, clip_range = self.config.rates(remaining)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        losses: list[PPOLoss] = []
        for batch in buffer.minibatches(self.config.num_minibatches, epochs=self.config.epochs):
            loss = self._loss_of(batch, clip_range, is_first=not losses)
            losses.append(PPOLoss(*(term.detach() for term in loss)))
            if len(losses) > 1 and self._is_too_far(losses[-1]):
                break
            self._descend(loss)
        mean = torch.stack([torch.stack(loss) for loss in losses]).mean(dim=0)
        return UpdateResult(
            PPOLoss(*mean_over_processes(mean)),
            largest_of_processes(float(losses[0].ratio_error)),
            self._norms.mean(),
            learning_rate,
            clip_range,
        )

    def loss(self, evaluation: EvalResult, batch: RolloutBatch, clip_range: float) -> PPOLoss:
        """Compute the terms of the loss; a subclass may compute others."""
        return ppo_loss(evaluation, batch, clip_range, clip_value_loss=self.config.clip_value_loss)

    def _loss_of(self, batch: RolloutBatch, clip_range: float, *, is_first: bool) -> PPOLoss:
        with self.config.precision(self.bundle.device):
            evaluation = self.bundle.evaluate_actions(
                batch.features,
                batch.actions,
                batch.masks,
                batch.hidden,
                episode_starts=batch.plan,
            )
        loss = self.loss(evaluation, batch, clip_range)
        self._audit_once(loss, batch)
        if is_first:
            self._check_consistency(evaluation, batch)
        return loss

    def _is_too_far(self, loss: PPOLoss) -> bool:
        """Tell whether the policy has moved further from the rollout's than it may, in a batch."""
        target = self.config.target_kl
        return target is not None and float(mean_over_processes(loss.approx_kl)) > target

    def _descend(self, loss: PPOLoss) -> None:
        value = self.config.value_coef
        entropy = self.config.entropy_coef
        self.optimizer.zero_grad(set_to_none=True)
        (loss.policy + value * loss.value - entropy * loss.entropy).backward()
        norm = self._norms.measure()
        self._require_finite(loss, norm)
        torch.nn.utils.clip_grads_with_norm_(
            self.bundle.parameters(), self.config.max_grad_norm, norm
        )
        self.optimizer.step()

    def _audit_once(self, loss: PPOLoss, batch: RolloutBatch) -> None:
        """Audit the first loss whose rows start an episode: only those use the initial state.

        Where its graph hides parameters, audit the gradients just before the optimizer's step.
        """
        if self._audited or not batch.plan.episode_starts.any():
            return
        terms = {"policy": loss.policy, "value": loss.value, "entropy": loss.entropy}
        report = audit_gradients(terms, self.bundle, optimizer=self.optimizer)
        report.raise_if_broken()
        self._audited = not report.opaque
        if report.opaque:
            self._audit_before_step()

    def _audit_before_step(self) -> None:
        def audit(*_: object) -> None:
            hook.remove()
            audit_backward(self.bundle).raise_if_broken()
            self._audited = True

        hook = self.optimizer.register_step_pre_hook(audit)

    def _check_consistency(self, evaluation: EvalResult, batch: RolloutBatch) -> None:
        """Check that training computes what the rollout stored, before the first step (C7)."""
        log_prob = evaluation.joint_log_prob
        tolerance = self.config.consistency_tolerance
        if tolerance is None and self.config.autocast:
            tolerance = AUTOCAST_TOLERANCE
        new = {"log_prob": log_prob, "value": evaluation.value}
        old = {"log_prob": batch.log_prob, "value": batch.value}
        check_consistency(new, old, tolerance=tolerance)
        check_ratio((log_prob - batch.log_prob).exp(), log_prob, tolerance=tolerance)

    def _require_finite(self, loss: PPOLoss, norm: torch.Tensor) -> None:
        if norm.isfinite():
            return
        terms = {"policy loss": loss.policy, "value loss": loss.value, "entropy": loss.entropy}
        parts = {f"gradient of {part}": value for part, value in self._norms.mean().items()}
        broken = [
            n for n, value in (terms | parts).items() if not torch.as_tensor(value).isfinite()
        ]
        raise ContractError(
            f"loss: expected finite numbers, got NaN or infinity in {', '.join(broken)}"
            "\n  do: lower the learning rate; look for huge observations or rewards. The "
            "parameters are those before this minibatch."
        )
