"""GAE against the sum of its definition, computed one environment at a time."""

import math
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiyo_rl.training import compute_gae


def advantage_by_definition(start: int, row: list[list[Any]], gamma: float, decay: float) -> float:
    rewards, values, next_values, terminated, truncated = row
    total = 0.0
    weight = 1.0
    for t in range(start, len(rewards)):
        following = 0.0 if terminated[t] else next_values[t]
        total += weight * (rewards[t] + gamma * following - values[t])
        if terminated[t] or truncated[t]:
            break
        weight *= gamma * decay
    return total


@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 1), decay=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_advantages_equal_their_definition(seed: int, gamma: float, decay: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    floats = [torch.randn(2, 9, generator=generator, dtype=torch.float64) for _ in range(3)]
    flags = [torch.rand(2, 9, generator=generator) < 0.2 for _ in range(2)]
    got = compute_gae(*floats, *flags, gamma=gamma, gae_lambda=decay)
    for row in range(2):
        lists = [part[row].tolist() for part in (*floats, *flags)]
        for t in range(9):
            expected = advantage_by_definition(t, lists, gamma, decay)
            assert math.isclose(got[row, t].item(), expected, rel_tol=1e-9, abs_tol=1e-9)
