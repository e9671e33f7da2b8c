"""Generalized advantage estimation, with truncation handled apart from termination."""

from __future__ import annotations

import torch

from tamiyo_rl.training.checks import require_flags, require_floats, require_number


def compute_gae(
    rewards: torch.Tensor,
    values: torch.Tensor,
    next_values: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> torch.Tensor:
    """Estimate advantages `[B, T]` (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    A terminated episode has no value after its end. A truncated one has: its last step bootstraps
    from the value of its true final observation. Neither lets advantage pass its end.

    Args:
        rewards: `[B, T]`.
        values: `[B, T]`, the value of each step's observation.
        next_values: `[B, T]`, the value of the observation that followed, in the same episode.
        terminated: `[B, T]` bool, true where the step ended its episode.
        truncated: `[B, T]` bool, true where the step was cut off, by a time limit say.
        gamma: Discount factor.
        gae_lambda: Decay of the multi-step estimates.

    Raises:
        TypeError: If an argument is no tensor, or has the wrong dtype.
        ValueError: If an argument has another shape or device than the rewards, or a factor is
            not from 0 to 1.

    Examples:
        ```python
        import torch
        from tamiyo_rl.training import compute_gae

        ones, no, yes = torch.ones(1, 1), torch.tensor([[False]]), torch.tensor([[True]])
        for terminated, truncated in ((yes, no), (no, yes)):
            advantage = compute_gae(
                ones, ones, 5 * ones, terminated, truncated, gamma=1.0, gae_lambda=1.0
            )
            print(advantage.item())
        ```

        ```text
        0.0
        5.0
        ```
    """
    names = "rewards", "values", "next_values"
    like = require_floats(names, (rewards, values, next_values))
    require_flags(("terminated", "truncated"), (terminated, truncated), like)
    require_number("gamma", gamma, 0, 1)
    require_number("gae_lambda", gae_lambda, 0, 1)
    deltas = rewards + gamma * next_values.masked_fill(terminated, 0.0) - values
    decay = gamma * gae_lambda * (~(terminated | truncated)).to(deltas.dtype)
    advantages = torch.empty_like(deltas)
    following = deltas.new_zeros(deltas.shape[0])
    for step in reversed(range(deltas.shape[1])):
        following = deltas[:, step] + decay[:, step] * following
        advantages[:, step] = following
    return advantages
