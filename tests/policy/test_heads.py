"""The distribution of the heads, whatever computes it."""

import pytest
import torch
from torch.testing import assert_close

from tamiyo_rl.policy.categorical import FEW_ACTIONS, MANY_STEPS, log_softmax


@pytest.mark.clause("C9")
@pytest.mark.parametrize("actions", [3, FEW_ACTIONS])
@pytest.mark.parametrize("shape", [(2, 3), (MANY_STEPS // 4, 5)])
def test_log_probabilities_and_their_gradients_are_those_of_pytorch(
    actions: int, shape: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(*shape, 2, actions, generator=generator, dtype=torch.float64)
    logits[0, 0, 0, 1] = -torch.inf
    weight = torch.rand(logits.shape, generator=generator, dtype=torch.float64)

    def weighted(log_probs: torch.Tensor) -> torch.Tensor:
        return (log_probs.exp() * weight).sum()

    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    assert_close(log_softmax(ours), theirs.log_softmax(-1))
    weighted(log_softmax(ours)).backward()
    weighted(theirs.log_softmax(-1)).backward()
    assert_close(ours.grad, theirs.grad)
