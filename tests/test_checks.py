"""The description of a value in an error."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tamiyo_rl.checks import describe


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (0.5, "0.5"),
        (None, "None"),
        ([1, 2], "list of 2"),
        (np.zeros((2, 3)), "ndarray of (2, 3)"),
        (torch.zeros(2, 3), "a tensor of [2, 3]"),
        (torch.zeros(2).to_sparse(), "a torch.sparse_coo tensor of [2]"),
        (nn.Linear, "the class Linear"),
        (iter([1]), "a list_iterator"),
        (nn.Linear(1, 1).parameters(), "a generator"),
    ],
)
def test_a_value_is_described_in_a_few_words_without_an_address(
    value: Any, description: str
) -> None:
    assert describe(value) == description
