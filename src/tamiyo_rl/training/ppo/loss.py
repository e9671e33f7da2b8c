"""The losses of PPO, over the valid steps of a batch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

import torch

from tamiyo_rl.checks import require_bool
from tamiyo_rl.policy.results import EvalResult
from tamiyo_rl.training.checks import require_flags, require_floats, require_number
from tamiyo_rl.training.distributed import mean_over_processes
from tamiyo_rl.training.rollout.buffer import RolloutBatch


class PPOLoss(NamedTuple):
    """The terms of the loss, and what they say about the update; all scalars.

    Attributes:
        policy: Clipped surrogate, to be minimised.
        value: Mean squared error of the value.
        entropy: Mean joint entropy, in nats.
        approx_kl: Estimate of the divergence from the rollout's policy, in nats.
        clip_fraction: Share of the ratios outside the clip range.
        ratio_error: Largest distance of a ratio from 1.
    """

    policy: torch.Tensor
    value: torch.Tensor
    entropy: torch.Tensor
    approx_kl: torch.Tensor
    clip_fraction: torch.Tensor
    ratio_error: torch.Tensor


def ppo_loss(
    evaluation: EvalResult,
    batch: RolloutBatch,
    clip_range: float,
    *,
    clip_value_loss: bool = False,
) -> PPOLoss:
    """Compute the losses of PPO (Schulman et al. 2017, arXiv:1707.06347, equation 7).

    Advantages are normalised over the valid steps of the batch. The divergence is estimated as
    `mean((ratio - 1) - log(ratio))`, which is never negative. Where several processes train
    together, the batch is that of all of them: the mean over the processes of each term is the
    term of one process with the whole batch.

    Args:
        evaluation: What `evaluate_actions` makes of the batch.
        batch: The stored rollout.
        clip_range: How far the ratio may leave 1.
        clip_value_loss: Whether the value loss is the larger of two errors: that of the value, and
            that of the value kept within `clip_range` of the rollout's.

    Returns:
        A named tuple of scalars: the terms `policy`, `value` and `entropy`; and `approx_kl`,
        `clip_fraction` and `ratio_error` (the largest distance of a ratio from 1), without a
        gradient.

    Raises:
        TypeError: If an argument has the wrong type, or a tensor in it the wrong dtype.
        ValueError: If the tensors differ in shape or device, or `clip_range` is negative.

    Examples:
        ```python
        import torch
        from tamiyo_rl import EpisodePlan, LSTMPolicyBundle
        from tamiyo_rl.training import RolloutBatch, ppo_loss

        bundle = LSTMPolicyBundle(feature_dim=3, action_dims=2)
        features, ones = torch.randn(4, 6, 3), torch.ones(4, 6)
        actions = {"action": torch.zeros(4, 6, dtype=torch.long)}
        evaluation = bundle.evaluate_actions(features, actions)
        batch = RolloutBatch(
            features, actions, None, bundle.initial_hidden(4).clone(), EpisodePlan(ones.bool()),
            log_prob=evaluation.joint_log_prob.detach(), value=ones, advantages=torch.randn(4, 6),
            returns=ones, valid=ones.bool(),
        )
        loss = ppo_loss(evaluation, batch, clip_range=0.2)
        print(loss.approx_kl.item(), loss.clip_fraction.item(), loss.policy.requires_grad)
        ```

        ```text
        0.0 0.0 True
        ```
    """
    _require_same_steps(evaluation, batch)
    require_number("clip_range", clip_range, 0, sys.float_info.max)
    require_bool(clip_value_loss=clip_value_loss)
    weight = batch.valid.to(batch.advantages.dtype)
    weight = weight / mean_over_processes(weight.sum()).clamp_min(1.0)
    value_error = _value_error(evaluation, batch, clip_range if clip_value_loss else None)
    advantages = _normalized(batch.advantages, weight)
    log_ratio = evaluation.joint_log_prob - batch.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    surrogate = torch.minimum(ratio * advantages, clipped * advantages)
    distance = (ratio - 1.0).detach()
    return PPOLoss(
        policy=-(surrogate * weight).sum(),
        value=(value_error * weight).sum(),
        entropy=(evaluation.joint_entropy * weight).sum(),
        approx_kl=((distance - log_ratio.detach()) * weight).sum(),
        clip_fraction=((distance.abs() > clip_range) * weight).sum(),
        ratio_error=distance.abs().max(),
    )


def _value_error(
    evaluation: EvalResult, batch: RolloutBatch, clip_range: float | None
) -> torch.Tensor:
    """Return the squared error of the values, `[B, T]`, which may only be moved within a range."""
    error = (evaluation.value - batch.returns).square()
    if clip_range is None:
        return error
    moved = (evaluation.value - batch.value).clamp(-clip_range, clip_range)
    return torch.maximum(error, (batch.value + moved - batch.returns).square())


def _require_same_steps(evaluation: EvalResult, batch: RolloutBatch) -> None:
    for name, value, kind in (
        ("evaluation", evaluation, EvalResult),
        ("batch", batch, RolloutBatch),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name}: expected {kind.__name__}, got {type(value).__name__}.")
    names = "log_prob", "advantages", "returns"
    stored = [getattr(batch, name) for name in names]
    like = require_floats([f"batch.{name}" for name in names], stored)
    require_flags(["batch.valid"], [batch.valid], like)
    for part in ("log_prob", "entropy"):
        by_head = getattr(evaluation, part)
        if not isinstance(by_head, Mapping) or not by_head:
            raise TypeError(f"evaluation.{part}: expected tensors by head, got {by_head!r}.")
        paths = [f'evaluation.{part}["{head}"]' for head in by_head]
        require_floats(paths, list(by_head.values()), like)
    require_floats(["evaluation.value"], [evaluation.value], like)


def _normalized(advantages: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    centred = advantages - mean_over_processes((advantages * weight).sum())
    variance = mean_over_processes((centred.square() * weight).sum())
    return centred / (variance.sqrt() + 1e-8)
