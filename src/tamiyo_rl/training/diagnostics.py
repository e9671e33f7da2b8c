"""What an update reports."""

from __future__ import annotations

from typing import NamedTuple


class UpdateReport(NamedTuple):
    """What one update did.

    Attributes:
        steps: Environment steps so far.
        episode_return: Mean return of the last 100 episodes; NaN before the first ends.
        policy_loss: Mean over the minibatches.
        value_loss: Mean over the minibatches.
        entropy: Mean over the minibatches, in nats.
        approx_kl: Mean estimate of the divergence from the rollout's policy, in nats.
        clip_fraction: Share of the ratios that were clipped.
        first_ratio_error: Largest distance of the ratio from 1 in the first minibatch, where the
            parameters are those of the rollout: rounding, if C7 holds.
    """

    steps: int
    episode_return: float
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    first_ratio_error: float
